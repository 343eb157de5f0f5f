// PostGraphile as one would run it in production, over the views of views.sql: HTTP on a port of loopback, and so many workers.
//
//     NODE_ENV=production GRAPHILE_ENV=production DATABASE_URL=... WORKERS=1 POOL=20 node server.mjs PORT
//
// Amber preset and simplified inflection; parsed and planned operations, and prepared statements, are kept (the defaults, which suffice for what is
// asked here); no IDE, no subscriptions, no explaining, no settings of the session, so that requests need no transaction; answers are written as
// text while they are put together.

import cluster from "node:cluster";
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { PgSimplifyInflectionPreset } from "@graphile/simplify-inflection";

const workers = Number(process.env.WORKERS ?? 1);

const preset = {
  extends: [PostGraphileAmberPreset, PgSimplifyInflectionPreset],
  pgServices: [
    makePgService({
      connectionString: process.env.DATABASE_URL,
      schemas: ["peer"],
      pubsub: false,
      poolConfig: { max: Number(process.env.POOL ?? 20), idleTimeoutMillis: 0 },
    }),
  ],
  schema: { defaultBehavior: "+list -insert -update -delete", pgForbidSetofFunctionsToReturnNull: true },
  grafast: { explain: false },
  grafserv: {
    port: Number(process.argv[2]),
    host: "127.0.0.1",
    watch: false,
    graphiql: false,
    websockets: false,
    outputDataAsString: true,
    maxRequestLength: 1_000_000,
  },
};

async function serve() {
  const instance = postgraphile(preset);
  const server = createServer();
  server.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  server.keepAliveTimeout = 60_000;
  await instance.createServ(grafserv).addTo(server);
  await instance.getSchema(); // before anybody asks
  server.listen(preset.grafserv.port, preset.grafserv.host, () => console.log("listening"));
}

if (workers > 1 && cluster.isPrimary) {
  let ready = 0;
  for (let i = 0; i < workers; i++) cluster.fork({ WORKERS: "1" }).on("listening", () => ++ready === workers && console.log("all listening"));
  cluster.on("exit", () => process.exit(1));
  process.on("SIGTERM", () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill("SIGTERM");
    process.exit(0);
  });
} else {
  await serve();
}
