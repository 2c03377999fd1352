"""Text in, batches of token ids out: the corpus, tokenizers, token files, the batch sampler."""

from pyllm.data.corpus import shakespeare
from pyllm.data.prepare import prepare
from pyllm.data.sampler import BatchSampler
from pyllm.data.text import TextSource, find_texts, read_chunks
from pyllm.data.tokenfile import TokenFile, TokenWriter
from pyllm.data.tokenizer import (
    BPETokenizer,
    CharTokenizer,
    StreamDecoder,
    Tokenizer,
    load_tokenizer,
    train_tokenizer,
)

__all__ = [
    "BPETokenizer",
    "BatchSampler",
    "CharTokenizer",
    "StreamDecoder",
    "TextSource",
    "TokenFile",
    "TokenWriter",
    "Tokenizer",
    "find_texts",
    "load_tokenizer",
    "prepare",
    "read_chunks",
    "shakespeare",
    "train_tokenizer",
]
