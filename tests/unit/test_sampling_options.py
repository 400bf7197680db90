"""The options of sampling: what they make of words, and that they change the text."""

from __future__ import annotations

from pathlib import Path

from cli_runs import Cli

from q4engine.cli import parser_of
from q4engine.cli.sampling_options import sampler_letters, sampler_names, settings_of
from q4engine.sampling.settings import SAMPLERS, SamplerSettings


def test_without_options_settings_are_the_defaults() -> None:
    assert settings_of(parser_of("run").parse_args(["model.gguf"])) == SamplerSettings()


def test_names_and_letters_of_samplers() -> None:
    assert sampler_names("top-k; typical;nucleus;temp;") == ("top_k", "typ_p", "top_p", "temperature")
    assert sampler_letters("edskypmxt") == tuple(SAMPLERS) == sampler_names(";".join(SAMPLERS))


def test_sequence_breakers_replace_the_usual_ones() -> None:
    def breakers(*words: str) -> object:
        return settings_of(parser_of("run").parse_args(["model.gguf", *words])).dry_sequence_breakers

    option = "--dry-sequence-breaker"
    assert breakers(option, "a\\tb", option, "none", option, ".") == ("a\tb", ".")
    assert breakers(option, "none") == () and breakers(option, "\\n", "--no-escape") == ("\\n",)


def test_samplers_by_name_and_letter(q4: Cli, tiny: Path) -> None:
    def text(*words: str) -> str:
        result = q4("run", tiny, "-p", "abc", "-n", "12", "--no-chat", "-t", "1", "-s", "3", *words)
        assert result.code == 0
        return result.out

    usual = text()
    assert usual == text("--samplers", "penalties;top-k;nucleus;min_p;temp") == text("--sampler-seq", "kpmt")
    assert text("--samplers", "top_k", "--top-k", "1") == text("--temp", "0")
    assert usual != text("--mirostat", "2", "--mirostat-ent", "9") != text("--typical", "0.2")
    breaking = ("--dry-multiplier", "3", "--dry-allowed-length", "1", "--dry-sequence-breaker")
    assert text(*breaking, "none", "--temp", "0") != text("--temp", "0")
    for words, message in (
        (("--samplers", "top_k;topp"), "there is no sampler 'topp', expected penalties;dry;"),
        (("--sampler-seq", "kz"), "there is no sampler 'z', expected e penalties, d dry, "),
        (("--typical", "1.5"), "'1.5' is out of range, expected 0 to 1"),
        (("--samplers", "top_k", "--sampler-seq", "k"), "not allowed with"),
    ):
        result = q4("run", tiny, "-p", "abc", *words)
        assert result.code == 2 and message in result.err
