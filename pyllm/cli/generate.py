"""`pyllm generate`: stream text from a trained model."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.rule import Rule

from pyllm import cuda
from pyllm.data import Tokenizer, load_tokenizer
from pyllm.generation import SamplingConfig, stream
from pyllm.models import GPT
from pyllm.train.checkpoint import find_model


def generate(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts to continue. Default: a line break.", show_default=False),
    ] = None,
    model: Annotated[
        Path,
        typer.Option("--model", "-m", help="A run, one of its checkpoints, or a GPT-2 folder."),
    ] = Path("runs/gpt"),
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", "-n", help="Tokens to write at most.")
    ] = 256,
    samples: Annotated[
        int, typer.Option(help="Continuations of each prompt, written side by side.")
    ] = 1,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Always the most probable token; as temperature 0.")
    ] = False,
    temperature: Annotated[float, typer.Option(help="Below 1 is safer, above 1 wilder.")] = 0.8,
    top_k: Annotated[int, typer.Option(help="Choose among the k best; 0 for all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Choose among the best of this total mass.")] = 0.95,
    min_p: Annotated[
        float, typer.Option(help="Leave out what is less probable than this share of the best.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1 makes repetitions less likely.")
    ] = 1.0,
    stop: Annotated[
        list[str] | None, typer.Option(help="End before this text; may be given several times.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draws: the same seed, the same text.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16 weights.")] = "float32",
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    r"""Write text with a trained model, as it comes.

    Examples:

    `pyllm generate "ROMEO:" -n 300`

    `pyllm generate "Once upon a time" --model runs/book --samples 3 --stop "The end"`
    """
    if samples < 1:
        raise ValueError(f"samples: expected at least 1, got {samples}")
    cuda.require_device(device)
    folder = find_model(model)
    tokenizer = load_tokenizer(folder)
    network = GPT.from_pretrained(folder, dtype=dtype)
    network.to(device).eval()
    sampling = SamplingConfig(
        temperature=0.0 if greedy else temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
    )
    texts = [_unescape(text) for text in prompts or ["\n"] for _ in range(samples)]
    _write(network, tokenizer, texts, max_new_tokens, sampling, tuple(map(_unescape, stop or ())))


def _write(
    network: GPT,
    tokenizer: Tokenizer,
    prompts: list[str],
    max_new_tokens: int,
    sampling: SamplingConfig,
    stop: tuple[str, ...],
) -> None:
    """Stream the first sequence that is not done; the others are collected meanwhile."""
    console = Console()
    waiting = [prompt.lstrip("\n") for prompt in prompts]
    done = [False] * len(prompts)
    shown = 0
    _begin(console, shown, len(prompts))
    print(waiting[0], end="", flush=True)
    for piece in stream(network, tokenizer, prompts, max_new_tokens, sampling, stop=stop):
        done[piece.sequence] = piece.done
        if piece.sequence == shown:
            print(piece.text, end="", flush=True)
        else:
            waiting[piece.sequence] += piece.text
        while shown < len(prompts) and done[shown]:
            print()
            shown += 1
            if shown < len(prompts):
                _begin(console, shown, len(prompts))
                print(waiting[shown], end="", flush=True)


def _begin(console: Console, number: int, total: int) -> None:
    if total > 1:
        console.print(Rule(f"{number + 1} of {total}", align="left", style="dim"))


def _unescape(text: str) -> str:
    r"""\n and \t, which a shell does not turn into the characters."""
    return text.replace("\\n", "\n").replace("\\t", "\t")
