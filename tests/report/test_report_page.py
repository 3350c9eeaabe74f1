"""The page: sections follow capabilities, nothing leaves the file, words stay words, unfinished runs have pages."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image
from report_fakes import CentreOfMass, Dots, OnlyLosses, make_evaluation, make_run
from torch import nn

from percepts.core.errors import PerceptsError, RunError
from percepts.core.runs import Run
from percepts.data.dataset import FactorDataset
from percepts.nn.distributions import DiagonalGaussian
from percepts.report import save_figures, write_report
from percepts.report.material import gather_material
from percepts.report.sections.code import MOST_LATENTS, MOST_MOVING

HOSTILE = "</style></script><script>alert('x')</script><img src=http://evil.example/a.png onerror=alert(1)>{{ 7*7 }}"


class Outline(HTMLParser):
    """The anchors, images and headings of a page, and whether its elements are nested properly."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "wbr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.scripts += tag == "script"
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "section":
            self.sections.append(str(values["id"]))
        if tag == "img":
            self.images.append(values)
        self.links += [str(values[name]) for name in ("href", "src", "action") if name in values]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An SVG leaf."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def write(run: Run, model: nn.Module, evaluation: dict | None = None, dataset: FactorDataset | None = None) -> str:
    path = write_report(run, model, dataset or Dots.Config().build(), evaluation)
    assert path == run.path / "report.html"
    return path.read_text()


def test_a_model_that_can_everything_has_every_section(tmp_path: Path) -> None:
    started = time.monotonic()
    page = write(make_run(tmp_path / "dots", status="finished"), CentreOfMass(), make_evaluation())
    outline = Outline(page)
    assert outline.sections == [
        "traversals", "reconstructions", "scores", "usage", "factors", "samples", "training", "data", "configuration",
        "reproduction",
    ]  # fmt: skip
    assert not outline.open, "every element is closed"
    assert len(set(outline.ids)) == len(outline.ids), "anchors are unique"
    assert len(page) < 4e6
    assert time.monotonic() - started < 10
    for words in ("Mutual information gap", "0.780", "0.740 – 0.810", "capacity C", "percepts train dots --seed 3"):
        assert words in page


def test_a_missing_score_reads_not_available(tmp_path: Path) -> None:
    page = write(make_run(tmp_path / "dots"), CentreOfMass(), make_evaluation())
    row = page[page.index("factor_<wbr>vae.dlib") :]
    assert re.search(r"<b>([^<]*)</b>", row)[1] == "n/a"  # type: ignore[index]
    assert "NaN" not in re.sub(r"<script>.*</script>|[A-Za-z0-9+/]{80,}", "", page, flags=re.DOTALL)


def test_a_model_with_only_losses_has_curves_data_and_configuration(tmp_path: Path) -> None:
    page = write(make_run(tmp_path / "plain"), OnlyLosses())
    assert "no code to measure" in page
    outline = Outline(page)
    assert outline.sections == ["scores", "training", "data", "configuration", "reproduction"]


@pytest.mark.parametrize("lines", [0, 1, 2, 7])
def test_a_run_in_progress_has_a_page(tmp_path: Path, lines: int) -> None:
    page = write(make_run(tmp_path / "young", lines=lines, status="running"), CentreOfMass())
    assert "Not measured yet" in page
    assert "running" in page
    assert ("Nothing has been logged yet" in page) == (lines == 0)


@pytest.mark.parametrize("part", ["step", "seed", "images", "metrics", "latents", "reconstruction"])
def test_any_part_of_the_evaluation_may_be_missing(tmp_path: Path, part: str) -> None:
    evaluation = make_evaluation()
    del evaluation[part]
    assert "Scores" in write(make_run(tmp_path / "dots"), CentreOfMass(), evaluation)


def test_an_evaluation_of_another_size_is_not_mistaken_for_this_models(tmp_path: Path) -> None:
    evaluation = make_evaluation()
    evaluation["latents"] = {name: values[:2] for name, values in evaluation["latents"].items()}
    run = make_run(tmp_path / "dots")
    material = gather_material(run, CentreOfMass(), Dots.Config().build(), evaluation, 0)
    assert material.latents is not None
    assert len(material.latents) == 3
    write(run, CentreOfMass(), evaluation)


def test_nothing_is_requested_from_elsewhere(tmp_path: Path) -> None:
    page = write(make_run(tmp_path / "dots"), CentreOfMass(), make_evaluation())
    assert str(tmp_path) not in page, "a page that is passed on says nothing about folders"
    outline = Outline(page)
    assert outline.links
    assert {link[:5] for link in outline.links} <= {"data:", *(link[:5] for link in outline.links if link[0] == "#")}
    assert set(re.findall(r"https?://[^\"' <)]*", page)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_images_say_what_they_show(tmp_path: Path) -> None:
    outline = Outline(write(make_run(tmp_path / "dots"), CentreOfMass(), make_evaluation()))
    assert len(outline.images) > 60
    silent = [image for image in outline.images if not image.get("alt") and image.get("aria-hidden") != "true"]
    assert not silent


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    run = make_run(tmp_path / "dots", note=HOSTILE, command=HOSTILE, host=HOSTILE)
    config = json.loads(run.config_file.read_text())
    config[HOSTILE] = {"type": HOSTILE, HOSTILE: [HOSTILE, 1.5]}
    run.config_file.write_text(json.dumps(config))
    with run.metrics_file.open("a") as file:
        file.write(json.dumps({"step": 9000, HOSTILE: 1.0}) + "\n" + json.dumps({"step": 9001, HOSTILE: 2.0}) + "\n")
    evaluation = make_evaluation()
    evaluation["metrics"][HOSTILE] = {**evaluation["metrics"]["mig.dlib"], "name": HOSTILE}
    dataset = Dots.Config().build()
    dataset.factor_names = (HOSTILE, "x", "y")
    page = write(run, CentreOfMass(), evaluation, dataset)
    outline = Outline(page)
    assert outline.scripts == 1
    assert not [image for image in outline.images if "onerror" in image]
    assert "49" not in re.findall(r"onerror=alert\(1\)&gt;(\S{0,9})", page)
    assert "{{ 7*7 }}" in page
    assert not outline.open


def test_grey_wide_and_tiny_data_work(tmp_path: Path) -> None:
    class Few(Dots):
        def __len__(self) -> int:
            return 1

    write(make_run(tmp_path / "grey"), CentreOfMass(1), None, Dots.Config(channels=1).build())
    write(make_run(tmp_path / "wide"), CentreOfMass(5), None, Dots.Config(channels=5).build())
    write(make_run(tmp_path / "one"), CentreOfMass(), None, Few(Dots.Config()))


def test_a_collapsed_code_is_called_so(tmp_path: Path) -> None:
    class Collapsed(CentreOfMass):
        def encode(self, image: torch.Tensor):  # type: ignore[no-untyped-def]
            posterior = super().encode(image)
            return type(posterior)(posterior.mean * 0, posterior.log_variance * 0)

    page = write(make_run(tmp_path / "flat"), Collapsed())
    assert "The code has collapsed" in page or "the code has collapsed" in page


def test_the_report_is_reproducible_and_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    def without_time(page: str) -> str:
        return re.sub(r"Written by percepts \S+ at \S+", "", page)

    run, model = make_run(tmp_path / "dots"), CentreOfMass().train()
    state = torch.random.get_rng_state()
    one = write(run, model)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), state), "the global random stream is untouched"
    assert without_time(write(run, model)) == without_time(one)
    other = write_report(run, model, Dots.Config().build(), None, seed=1).read_text()
    assert without_time(other) != without_time(one)


def test_a_damaged_run_is_one_clear_line_and_the_old_report_stays(tmp_path: Path) -> None:
    run = make_run(tmp_path / "dots")
    before = write(run, CentreOfMass())
    run.config_file.write_text("{")
    with pytest.raises(RunError, match="cannot read"):
        write_report(run, CentreOfMass(), Dots.Config().build(), None)
    assert (run.path / "report.html").read_text() == before


def test_a_report_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "dots")
    (run.path / "report.html").mkdir()
    (run.path / "report.html" / "mine").write_text("x")
    with pytest.raises(PerceptsError, match="could not write"):
        write_report(run, CentreOfMass(), Dots.Config().build(), None)


def test_figures_are_saved_as_png_and_gif_files(tmp_path: Path) -> None:
    run = make_run(tmp_path / "dots")
    paths = save_figures(run, CentreOfMass(), Dots.Config().build(), make_evaluation())
    assert [path.name for path in paths] == [
        "traversals.png", "reconstructions.png", "samples.png", "data.png", "position_maps.png", "traversals.gif",
    ]  # fmt: skip
    for path in paths:
        with Image.open(path) as image:
            assert image.format == path.suffix[1:].upper()
            assert min(image.size) >= 64
    only = save_figures(make_run(tmp_path / "plain"), OnlyLosses(), Dots.Config().build(), None)
    assert [path.name for path in only] == ["data.png"]


def test_many_latents_move_in_coarser_steps_and_smaller_pictures(tmp_path: Path) -> None:
    class Many(CentreOfMass):
        def encode(self, image: torch.Tensor) -> DiagonalGaussian:
            posterior = super().encode(image)
            spread = torch.full((len(image), MOST_LATENTS + 5), -1.0)
            return DiagonalGaussian(
                torch.cat([posterior.mean, spread], 1), torch.cat([posterior.log_variance, spread], 1)
            )

    page = write(make_run(tmp_path / "many"), Many())
    outline = Outline(page)
    assert len([image for image in outline.images if image.get("class") == "between"]) == MOST_MOVING
    strips = [image for image in outline.images if str(image.get("alt")).startswith("Traversal of latent")]
    assert len(strips) == MOST_LATENTS
    assert f"{3 + MOST_LATENTS + 5 - MOST_LATENTS} further latents" in page
