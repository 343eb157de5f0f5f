"""How fast variants become vectors, as a share of what the device can do, and against a straightforward way.

    python -m bench.embed [--variants N] [--layers N] [--device cpu|cuda] [--dtype fp32|bf16|fp16] [--peak-tflops N] [--rounds N] [--json]

A DNABERT-2 of the true width with random weights (2 layers on a CPU, 12 on a GPU, unless told otherwise) embeds variants of the demo, windows of
1,001 bases, as `vkg embed` does it: from the store through windows, tokens, batches and pooling into the table of vectors. The straightforward
way, in the same process: fp32, the sequences in their order in padded batches of 32 with a mask, tokenised in between, no store at all.
Both take turns; figures are medians.

FLOP are counted from tokens and configuration, two for each multiplication with its addition: in a layer, of a sequence of t tokens, with d numbers and an
MLP of m, 2 t (4 d^2 + 3 d m) of matrices of weights and 4 t^2 d of attention (scores, and their sums of values). Of the padded way only real tokens count.
The peak of a CPU is what the product of two matrices of the model's own shape reaches in the same run and dtype, as many threads at work; that of a GPU is its data sheet's,
which --peak-tflops says.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import psycopg
import pysam
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from bench.server import own_server
from embedder.device import DTYPES, dtype_name
from embedder.models import dnabert2
from embedder.pooling import Pooling, chosen, compare, pool
from embedder.progress import say
from embedder.run import run, sequences
from embedder.windows import FLANK, Variant, Window, window
from store import embedding
from store.assembly import GRCH37
from store.genome import initialise
from store.reference import Reference
from store.variant_key import encode

ROOT = Path(__file__).resolve().parent.parent
VCF = ROOT / "demo" / "kg300_eur.chr20_1-4mb.grch37.phased.vcf.gz"
FASTA = ROOT / "demo" / "chr20_npad_0.9-4.1mb.grch37.fa.gz"
TOKENIZER = ROOT.parent / "shared" / "data" / "dnabert2" / "tokenizer.json"

DEFAULTS = {"cpu": (200, 2), "cuda": (20_000, 12)}
"""Variants and layers, by kind of device."""
PADDED = 32
_DEMO = 24_990


@dataclass(frozen=True)
class Figure:
    """What one run found: medians. `share` is of the peak, `ratio` how many times as fast as the straightforward way."""

    device: str
    dtype: str
    threads: int
    layers: int
    variants: int
    tokens: int
    variants_per_s: float
    tokens_per_s: float
    tflops: float
    peak_tflops: float
    share: float
    model_share: float
    plain_variants_per_s: float
    ratio: float


def variants(count: int) -> list[Variant]:
    """Variants of the demo, in genome order; further ones differ from them by their ALT."""
    pysam.set_verbosity(0)  # its header is not all as htslib would have it
    with pysam.VariantFile(str(VCF), drop_samples=True) as file:
        found = [Variant(20, r.pos, r.ref or "", (r.alts or ("",))[0]) for r in islice(file, min(count, _DEMO))]
    known = set(found)
    others = (v._replace(alt=base) for v in known if len(v.ref) == 1 for base in "ACGT" if base != v.ref)
    return sorted(found + list(islice((v for v in others if v not in known), count - len(found))))


def tokenizer_of(path: Path) -> str:
    """The published tokenizer; where it is not here, byte pairs as many, learned from the demo's reference."""
    if path.is_file():
        return path.read_text()
    say(f"{path}: not here; tokens are learned from the demo's reference instead")
    tokenizer = Tokenizer(BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    with pysam.FastaFile(str(FASTA)) as fasta:
        text = fasta.fetch("20", 1_000_000, 3_000_000).upper().replace("N", "")
    words = [text[begin : begin + 1_000] for begin in range(0, len(text), 1_000)]
    tokenizer.train_from_iterator(words, BpeTrainer(vocab_size=dnabert2.Config.vocab_size, special_tokens=special, show_progress=False))
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return tokenizer.to_str()


def write_model(folder: Path, layers: int, tokenizer: str) -> Path:
    """A folder in the published layout, with random weights."""
    config = dnabert2.Config(num_hidden_layers=layers)
    torch.manual_seed(0)
    state = {dnabert2.published(name): values for name, values in dnabert2.Network(config).named_parameters()}
    published = {"model_type": "bert", "hidden_act": "gelu", "type_vocab_size": 2}
    (folder / "config.json").write_text(json.dumps(asdict(config) | published))
    (folder / "tokenizer.json").write_text(tokenizer)
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def flop(config: dnabert2.Config, lengths: np.ndarray) -> float:
    """What the model computes of sequences of so many tokens: see above."""
    d, m, t = config.hidden_size, config.intermediate_size, lengths.astype(np.float64)
    return float((2 * t * (4 * d * d + 3 * d * m) + 4 * t * t * d).sum() * config.num_hidden_layers)


def plain(model: dnabert2.Dnabert2, wanted: Sequence[Variant], fasta: Reference) -> int:
    """The straightforward way. Returns how many vectors it made."""
    done = 0
    for begin in range(0, len(wanted), PADDED // 2):
        windows = [w for v in wanted[begin : begin + PADDED // 2] if isinstance(w := window(fasta.fetch, fasta.length, v), Window)]
        tokens = model.tokenizer.tokenize([text for w in windows for text in (w.ref, w.alt)])
        spans = [span for w in windows for span in (w.ref_span, w.alt_span)]
        longest = max(len(each.ids) for each in tokens)
        ids = np.full((len(tokens), longest), dnabert2.PAD, np.int32)
        mask, own = np.zeros(ids.shape, bool), np.zeros(ids.shape, bool)
        for row, (each, span) in enumerate(zip(tokens, spans, strict=True)):
            ids[row, : len(each.ids)], mask[row, : len(each.ids)] = each.ids, True
            own[row, : len(each.ids)] = chosen(each, span, Pooling.VARIANT)
        with torch.inference_mode():
            vectors = pool(model.hidden(ids, mask), torch.from_numpy(own).to(model.device), Pooling.VARIANT).cpu().numpy()
        done += len(compare(vectors[::2], vectors[1::2], windows).norm)
    return done


def product(dtype: torch.dtype, config: dnabert2.Config, seconds: float = 1.0) -> float:
    """FLOP a second of a product of matrices on the CPU: tokens of a batch with the weights of the MLP, the largest there are."""
    rows, d, m = 4_096, config.hidden_size, 2 * config.intermediate_size
    a, b = torch.randn(rows, d).to(dtype), torch.randn(m, d).to(dtype)
    with torch.inference_mode():
        torch.nn.functional.linear(a, b)
        done, started = 0, time.perf_counter()
        while (taken := time.perf_counter() - started) < seconds:
            torch.nn.functional.linear(a, b)
            done += 1
    return done * 2 * rows * d * m / taken


def timed(job: Callable[[], int], expected: int) -> float:
    """Seconds that a job takes which gives the number of vectors that it made."""
    started = time.perf_counter()
    found = job()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    taken = time.perf_counter() - started
    assert found == expected, f"{found} vectors of {expected} variants"
    return taken


def measure(options: argparse.Namespace, url: str, folder: Path) -> Figure:
    """Both ways, by turns."""
    wanted = variants(options.variants)
    fill(url, wanted)
    fasta = Reference(FASTA)
    fast = dnabert2.load(str(folder), device=options.device, dtype=options.dtype)
    slow = dnabert2.load(str(folder), device=options.device, dtype="fp32")
    config = fast.network.config
    windows = [w for v in wanted if isinstance(w := window(fasta.fetch, fasta.length, v), Window)]
    lengths = np.array([len(each.ids) for each in fast.tokenizer.tokenize([text for w in windows for text in (w.ref, w.alt)])])
    work = flop(config, lengths)
    numbers = iter(range(1_000))

    def whole(name: str) -> int:
        with psycopg.connect(url, autocommit=True) as conn:
            model = embedding.register(
                conn, embedding.Model(name, "local", None, fast.dimension, FLANK, "variant", options.dtype, None, ["sequence"])
            )
        with sequences(fast, FASTA, FLANK, Pooling.VARIANT, workers=options.workers, report=say) as made:
            made.tokens.submit(int).result()  # processes begin once, not with each of a few seconds' work
            started = time.perf_counter()
            found = run(model, made).embedded
            inside.append(time.perf_counter() - started)
        return found

    inside: list[float] = []
    few = wanted[:PADDED]
    plain(slow, few, fasta)  # both have run once before they are measured
    whole(f"round{next(numbers)}")
    inside.clear()
    theirs, peaks, alone = [], [], []
    for _ in range(options.rounds):
        whole(f"round{next(numbers)}")
        theirs.append(timed(lambda: plain(slow, wanted, fasta), len(windows)))
        alone.append(network_only(fast, lengths))
        peaks.append(product(fast.dtype, config) if fast.device.type == "cpu" else options.peak_tflops * 1e12)
    ours, other, peak = statistics.median(inside), statistics.median(theirs), statistics.median(peaks)
    return Figure(
        device=torch.cuda.get_device_name() if fast.device.type == "cuda" else f"cpu ({torch.backends.cpu.get_cpu_capability()})",
        dtype=dtype_name(fast.dtype), threads=torch.get_num_threads(), layers=config.num_hidden_layers, variants=len(windows), tokens=int(lengths.sum()),
        variants_per_s=len(windows) / ours, tokens_per_s=lengths.sum() / ours, tflops=work / ours / 1e12, peak_tflops=peak / 1e12, share=work / ours / peak,
        model_share=statistics.median(work / seconds / peak for seconds in alone), plain_variants_per_s=len(windows) / other, ratio=other / ours,
    )  # fmt: skip


def network_only(model: dnabert2.Dnabert2, lengths: np.ndarray) -> float:
    """Seconds of the network alone, over batches of these lengths that are there already."""
    from embedder.device import BATCH_TOKENS

    tokens = BATCH_TOKENS[model.device.type]
    draws = np.random.default_rng(0)
    batches = []
    for length, count in zip(*np.unique(lengths, return_counts=True), strict=True):
        rows = max(1, tokens // int(length))
        batches += [draws.integers(5, 4_096, (min(rows, count - begin), length), np.int32) for begin in range(0, count, rows)]
    started = time.perf_counter()
    for ids in batches:
        model.hidden(ids)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def fill(url: str, wanted: Sequence[Variant]) -> None:
    """A store that has these variants."""
    chroms, positions, refs, alts = zip(*wanted, strict=True)
    keys = encode(np.array(chroms, np.int16), np.array(positions), list(refs), list(alts)).tolist()
    with psycopg.connect(url, autocommit=True) as conn, conn.cursor() as cursor:
        initialise(conn, GRCH37)
        rows = [(key, *v) for key, v in zip(keys, wanted, strict=True)]
        cursor.executemany("INSERT INTO variant (variant_key, chrom, pos, ref, alt) VALUES (%s, %s, %s, %s, %s)", rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="How fast variants become vectors, as a share of the device's peak and against a straightforward way."
    )
    parser.add_argument("--variants", type=int, help="how many; else 200 on a CPU, 20,000 on a GPU")
    parser.add_argument("--layers", type=int, help="of the model; else 2 on a CPU, 12 on a GPU")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, help="of our way; else fp16 on a GPU, fp32 on a CPU")
    parser.add_argument("--threads", type=int, help="of PyTorch; else one for each core")
    parser.add_argument("--workers", type=int, help="processes that make tokens, as `vkg embed` has them")
    parser.add_argument("--peak-tflops", type=float, help="what the GPU's data sheet says of the dtype, dense")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER, help="the published tokenizer.json")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.device == "cuda" and options.peak_tflops is None:
        parser.error("say --peak-tflops: of an H200, 989 for fp16 and bf16, 494 for fp32 (as TF32)")
    few, layers = DEFAULTS[options.device]
    options.variants, options.layers = options.variants or few, options.layers or layers
    options.dtype = options.dtype or ("fp16" if options.device == "cuda" else "fp32")
    if options.threads:
        torch.set_num_threads(options.threads)
    with own_server() as url, tempfile.TemporaryDirectory() as folder:
        os.environ["VKG_DATABASE_URL"] = url
        found = measure(options, url, write_model(Path(folder), options.layers, tokenizer_of(options.tokenizer)))
        del os.environ["VKG_DATABASE_URL"]
    if options.json:
        print(json.dumps(asdict(found), indent=2))
        return
    print(
        f"{found.device}, {found.threads} threads, {found.dtype}, {found.layers} layers; {found.variants:,} variants, {found.tokens:,} tokens"
    )
    print(f"{found.variants_per_s:,.1f} variants/s, {found.tokens_per_s:,.0f} tokens/s, {found.tflops:.4g} TFLOP/s of the model")
    print(f"share of the peak ({found.peak_tflops:.4g} TFLOP/s): {found.share:.1%}; the network alone {found.model_share:.1%}")
    print(f"straightforward (fp32, padded batches of {PADDED}): {found.plain_variants_per_s:,.1f} variants/s; ratio {found.ratio:.2f}")


if __name__ == "__main__":
    main()
