"""The language model in this process: how tokens are drawn, and a tiny real transformer with its tokenizer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError, MissingPackageError
from percepts.core.optional import available
from percepts.foundation import transformers_local
from percepts.foundation.cache import Cached
from percepts.foundation.drawing import draw
from percepts.foundation.errors import ModelError
from percepts.foundation.model import Completion, Message, Picture, complete_all
from percepts.foundation.transformers_local import PLAIN_TEMPLATE, LocalModel

needs_transformers = pytest.mark.skipif(
    not available("transformers"), reason="the package transformers is not installed (extra hf)"
)
PROBABILITIES = torch.tensor([0.05, 0.4, 0.25, 0.3])
WORDS = "System : User Assistant hello stone potion red green . moves"


def drawn(count: int, **settings: Any) -> Tensor:
    """How often each token was drawn."""
    uniform = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    scores = PROBABILITIES.log().expand(count, -1)
    return torch.bincount(draw(scores, uniform, **settings), minlength=4) / count


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    assert drawn(2000, temperature=1.0).tolist() == pytest.approx(PROBABILITIES.tolist(), abs=2e-3)
    sharper = PROBABILITIES**2 / (PROBABILITIES**2).sum()
    assert drawn(2000, temperature=0.5).tolist() == pytest.approx(sharper.tolist(), abs=2e-3)
    assert drawn(10, temperature=0.0).tolist() == [0, 1, 0, 0]
    assert drawn(10, temperature=1e-300).tolist() == [0, 1, 0, 0]


def test_the_least_probable_tokens_can_be_cut_off() -> None:
    assert drawn(2000, temperature=1.0, top_k=2).tolist() == pytest.approx([0, 4 / 7, 0, 3 / 7], abs=2e-3)
    # 0.4 + 0.3 reach 0.6, and 0.4 alone does not; the token that reaches it stays.
    assert drawn(2000, temperature=1.0, top_p=0.6).tolist() == pytest.approx([0, 4 / 7, 0, 3 / 7], abs=2e-3)
    assert drawn(10, temperature=1.0, top_p=1e-9).tolist() == [0, 1, 0, 0]
    assert drawn(2000, temperature=1.0, top_p=1.0, top_k=9).tolist() == pytest.approx(PROBABILITIES.tolist(), abs=2e-3)


def test_the_ends_of_the_unit_interval_give_possible_tokens() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.0]]).log().expand(2, -1)
    tokens = draw(scores, torch.tensor([0.0, math.nextafter(1.0, 0.0)], dtype=torch.float64), 1.0)
    assert set(tokens.tolist()) <= {0, 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer of two layers with random weights and a tokenizer of words."""
    import tokenizers
    import transformers

    path = tmp_path_factory.mktemp("tiny")
    vocabulary = {word: place for place, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS.split()])}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    return path


def local(folder: Path, **settings: Any) -> LocalModel:
    return LocalModel.Config(model=str(folder), **{"template": PLAIN_TEMPLATE, **settings}).build()


def asking(text: str) -> list[Message]:
    return [Message("system", "moves"), Message("user", text)]


@needs_transformers
def test_greedy_answers_are_those_of_the_library_itself(folder: Path) -> None:
    import transformers

    completion = local(folder).complete(asking("red stone"), temperature=0.0, max_tokens=12, logprobs=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer(
        "<s>System: moves\n\nUser: red stone\n\nAssistant:", return_tensors="pt", add_special_tokens=False
    )
    output = model.generate(
        **prompt, max_new_tokens=12, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    tokens = output.sequences[0, prompt["input_ids"].shape[1] :]
    assert completion.text == tokenizer.decode(tokens, skip_special_tokens=True)
    assert completion.usage.prompt_tokens == prompt["input_ids"].shape[1]
    assert completion.usage.completion_tokens == len(tokens)
    assert completion.tokens is not None
    expected = [float(logits[0].log_softmax(-1)[token]) for logits, token in zip(output.logits, tokens)]
    assert [one.log_probability for one in completion.tokens] == pytest.approx(expected, abs=1e-4)


@needs_transformers
def test_a_seed_gives_the_same_answer_whatever_was_asked_before(folder: Path) -> None:
    model = local(folder)
    first = model.complete(asking("red stone"), temperature=1.0, seed=3, max_tokens=10)
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    assert local(folder).complete(asking("red stone"), temperature=1.0, seed=3, max_tokens=10).text == first.text
    assert torch.equal(torch.random.get_rng_state(), state)  # Nothing global is touched.
    texts = {model.complete(asking("red stone"), temperature=1.0, seed=seed, max_tokens=10).text for seed in range(8)}
    assert len(texts) > 1


@needs_transformers
def test_first_tokens_are_distributed_as_the_model_says(folder: Path) -> None:
    model = local(folder, batch=64)
    made = complete_all(
        model, [asking("red")] * 512, seeds=list(range(512)), temperature=1.0, max_tokens=1, logprobs=True
    )
    seen: dict[str, list[float]] = {}
    for one in made:
        assert one.tokens is not None
        seen.setdefault(one.tokens[0].text, []).append(one.tokens[0].log_probability)
    counts = [len(values) for values in seen.values()]
    expected = [512 * math.exp(values[0]) for values in seen.values()]
    common = [place for place, value in enumerate(expected) if value >= 5]
    rest = 512 - sum(expected[place] for place in common)
    observed = [counts[place] for place in common] + [512 - sum(counts[place] for place in common)]
    assert stats.chisquare(observed, [expected[place] for place in common] + [rest]).pvalue > 1e-4


@needs_transformers
def test_a_batch_gives_what_its_conversations_give_alone(folder: Path) -> None:
    model = local(folder, batch=3)
    asked = [asking("red"), asking("green potion . red stone moves"), asking("hello"), asking("stone stone")]
    together = complete_all(model, asked, seeds=[1, 2, 3, 4], temperature=0.8, max_tokens=8)
    alone = [model.complete(one, temperature=0.8, max_tokens=8, seed=seed) for one, seed in zip(asked, [1, 2, 3, 4])]

    def shown(one: Completion) -> tuple[Any, ...]:
        return one.text, one.usage, one.finish_reason

    assert [shown(one) for one in together] == [shown(one) for one in alone]
    assert complete_all(model, []) == []


@needs_transformers
def test_answers_end_at_stop_texts_and_limits(folder: Path) -> None:
    model = local(folder)
    whole = model.complete(asking("hello"), temperature=0.0, max_tokens=12)
    words = whole.text.split()
    assert len(words) > 3
    cut = model.complete(asking("hello"), temperature=0.0, max_tokens=12, stop=[words[2]])
    assert cut.text == whole.text[: whole.text.index(words[2])]
    assert cut.finish_reason == "stop"
    assert cut.usage.completion_tokens < whole.usage.completion_tokens
    short = model.complete(asking("hello"), temperature=0.0, max_tokens=2)
    assert (short.finish_reason, short.usage.completion_tokens) == ("length", 2)


@needs_transformers
def test_a_conversation_fills_what_the_model_reads_and_no_more(folder: Path) -> None:
    model = local(folder)
    full = model.complete(asking("red " * 50), temperature=0.0)
    assert full.usage.prompt_tokens + full.usage.completion_tokens <= 64
    with pytest.raises(ModelError, match=r"at most 64 together.*a summary"):
        model.complete(asking("red " * 50), max_tokens=20)
    with pytest.raises(ModelError, match="at most 64"):
        model.complete(asking("red " * 70))


@needs_transformers
def test_a_recording_of_it_is_replayed(folder: Path, tmp_path: Path) -> None:
    def ask(replay: bool) -> Completion:
        model = Cached(local(folder), tmp_path / "replies.jsonl", replay=replay)
        return model.complete(asking("red"), temperature=1.0, seed=1, logprobs=True, max_tokens=3)

    assert ask(replay=False) == ask(replay=True)


@needs_transformers
def test_what_it_cannot_do_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no chat template.*PLAIN_TEMPLATE"):
        local(folder, template=None).complete(asking("red"))
    strict = "{{ raise_exception('no system') if messages[0]['role'] == 'system' }}"
    with pytest.raises(ModelError, match=r"refuses these messages.*no system"):
        local(folder, template=strict).complete(asking("red"))
    with pytest.raises(ModelError, match="a picture"):
        local(folder).complete([Message("user", ("what?", Picture(b"png")))])
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.gguf").write_bytes(b"nonsense")
    for wrong in ("empty", "broken.gguf"):
        with pytest.raises((ModelError, MissingPackageError), match=r"cannot load|gguf"):
            local(tmp_path / wrong).complete(asking("red"))


def test_settings_and_missing_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = LocalModel.Config(model="org/name", template=PLAIN_TEMPLATE, top_k=5)
    assert from_json(to_json(config)) == config
    assert config.build().identity == {"model": "org/name", "dtype": "auto", "template": PLAIN_TEMPLATE, "top_k": 5}
    (tmp_path / "a.gguf").touch()
    assert local(tmp_path / "a.gguf").name == "a.gguf"
    assert transformers_local._gguf("org/name:a.gguf") == ("org/name", "a.gguf")
    assert transformers_local._gguf(str(tmp_path / "a.gguf")) == (str(tmp_path), "a.gguf")
    for wrong in ({"model": ""}, {"model": "m", "batch": 0}, {"model": "m", "top_p": 0.0}, {"model": "m", "top_k": 0}):
        with pytest.raises(ConfigError):
            LocalModel.Config(**wrong)  # type: ignore[arg-type]

    def missing(package: str, extra: str) -> None:
        raise MissingPackageError(f"no {package}", fix=f"pip install 'percepts[{extra}]'")

    monkeypatch.setattr(transformers_local, "require_package", missing)
    with pytest.raises(MissingPackageError, match=r"percepts\[hf\]"):
        config.build().complete(asking("red"))
