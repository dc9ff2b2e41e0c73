"""An overview of the study in three panels."""

from __future__ import annotations

import polars as pl
from markupsafe import Markup

from amuro.core.coordinates import RECIPE
from amuro.report.formatting import compact, plain, plain_metric
from amuro.report.model import ReportData
from amuro.report.naming import recipe_words
from amuro.report.plots.specs import counted_in
from amuro.report.plots.svg import Scale, along, element, image, line, log_places, path, shorten, text
from amuro.report.plots.svg_axes import tick_marks
from amuro.report.tables import primary_metric, step_name
from amuro.study.recipe_names import tuned_by_several

WIDTH, HEIGHT = 320.0, 230.0
PRETRAINED = {"tokens": "training tokens", "step": "training steps"}
MOST = 8
"""Boxes or rows that fit; what is left over is counted in words."""


def pretraining_panel(book: ReportData) -> Markup:
    """Returns the checkpoints over log tokens (steps, if token counts are unknown), at the height of their held-out
    score.
    """
    axis = counted_in(book)
    places = log_places([float(row[axis]) for row in book.series], 34, WIDTH - 24)
    held_out = book.scores.filter((pl.col("kind") == "language_modeling") & (pl.col("tuned_on") == "none"))
    held_out = primary_metric(book, held_out) if held_out.height else held_out
    heights = _loss_heights(book, held_out)
    spots = sorted(
        (float(row[axis]), heights.get(row["checkpoint"], 120.0), str(row["checkpoint"])) for row in book.series
    )
    series = {str(row["checkpoint"]): row["series"] for row in book.series}
    names = {str(row["checkpoint"]): step_name(row.get("tokens"), row["step"]) for row in book.series}
    lines = [
        path([(places[way], y) for way, y, checkpoint in spots if series[checkpoint] == name], "stroke base")
        for name in dict.fromkeys(series.values())
    ]
    dots = [
        element("circle", element("title", f"{name}: {names[name]}"), cx=places[way], cy=y, r=5.5, class_="dot base")
        for way, y, name in spots
    ]
    caption = f"{plain_metric(held_out['metric'][0])} on held-out text" if heights else "checkpoints"
    return image(
        "picture-pretraining", f"Checkpoints over {PRETRAINED[axis]}", WIDTH, HEIGHT,
        text(caption, 14, 16, "label"), along(*lines, *dots),
        line(14, 190, WIDTH - 8, 190, "axis"),
        tick_marks({compact(way) if way >= 0 else "not counted": place for way, place in places.items()}, 190),
        text(f"{PRETRAINED[axis]} (log scale)", WIDTH / 2, 224, "label scale", "middle"), places=places,
    )  # fmt: skip


def _loss_heights(book: ReportData, held_out: pl.DataFrame) -> dict[str, float]:
    """Returns place of each base checkpoint → its score on held-out text; {} unless all are scored by one metric."""
    if held_out["metric"].n_unique() > 1:
        return {}
    means = dict(held_out.drop_nulls("value").group_by("checkpoint").agg(pl.col("value").mean()).iter_rows())
    if len(means) < len(book.series) or not means:
        return {}
    low, high = min(means.values()), max(means.values())
    scale = Scale(low, high if high > low else low + 1, 165, 40)
    return {checkpoint: scale(value) for checkpoint, value in means.items()}


def tuning_panel(book: ReportData) -> Markup:
    """Returns the recipes that tune the checkpoints, by task, or by recipe if a task has several."""
    names = _tunings(book)
    if not names:
        return Markup("")
    shown = names[:MOST]
    step = min(44.0, 190 / len(shown))
    top = 16 + (190 - step * len(shown)) / 2
    parts: list[Markup] = []
    for k, (name, whole) in enumerate(shown):
        y = top + step * k + step / 2
        parts += [
            path([(44, 111), (72, 111), (92, y), (112, y)], "wire"),
            element("rect", x=112, y=y - 13, width=196, height=26, rx=6, class_="box tuned"),
            text(shorten(name, 28), 210, y + 4, "boxed", "middle", hint=whole),
        ]
    more = [text(f"and {len(names) - MOST} more", 210, 224, "label", "middle")] if len(names) > MOST else []
    stack = [element("circle", cx=30 + 3 * k, cy=111 - 3 * k, r=11, class_="dot base") for k in (2, 1, 0)]
    stack.append(text("each", 33, 142, "label", "middle") + text("checkpoint", 33, 154, "label", "middle"))
    return image("picture-tuning", "Tasks that each checkpoint was tuned on", WIDTH, HEIGHT, *parts, *stack, *more)


def _tunings(book: ReportData) -> list[tuple[str, str]]:
    """Returns (name that fits a box, full name) of every recipe."""
    words = recipe_words(book.scores) if book.scores.height else {}
    several = tuned_by_several(book.scores)
    return [
        (
            f"{recipe.recipe} · {plain(recipe.tuned_on)}" if recipe.tuned_on in several else plain(recipe.tuned_on),
            full_name,
        )
        for recipe, full_name in words.items()
    ]


def asking_panel(book: ReportData) -> Markup:
    """Returns which task is evaluated in which format."""
    asked = book.scores.filter(pl.col("split") != "dev").drop_nulls("value") if book.scores.height else book.scores
    if not asked.height:
        return Markup("")
    tasks = asked["task"].unique().sort().to_list()
    formats = sorted(asked["format"].unique().to_list(), key=lambda name: (name != "default", name))[:4]
    pairs = set(asked.select("task", "format").iter_rows())
    step = min(26.0, 170 / min(len(tasks), MOST))
    top = 58 + max(0.0, (150 - step * min(len(tasks), MOST)) / 2)
    columns = {name: 178 + k * (WIDTH - 178 - 24) / max(len(formats) - 1, 1) for k, name in enumerate(formats)}
    parts = [mark for name, x in columns.items() for mark in _column_head(name, x, top - 18)]
    for k, task in enumerate(tasks[:MOST]):
        y = top + step * k
        parts.append(text(shorten(plain(task), 23), 146, y + 4, "tick strong", "end", hint=task))
        for name, x in columns.items():
            done = (task, name) in pairs
            hint = f"{plain(task)} asked as {plain(name)}" + ("" if done else ": not run")
            css = "dot tuned" if done else "dot empty"
            parts.append(element("circle", element("title", hint), cx=x, cy=y, r=6, class_=css))
    more = [text(f"and {len(tasks) - MOST} more", 146, 224, "label", "end")] if len(tasks) > MOST else []
    return image("picture-asking", "Tasks asked, and the wordings", WIDTH, HEIGHT, *parts, *more)


def _column_head(name: str, x: float, y: float) -> list[Markup]:
    words = plain(name).split(" ", 1)
    return [
        text(shorten(word, 12), x, y - 12 * (len(words) - 1 - k), "label", "middle") for k, word in enumerate(words)
    ]


def numbers(book: ReportData) -> dict[str, int]:
    """Returns the size of the study: checkpoints, tuned models, cells planned and done, predictions."""
    model = ["checkpoint", *RECIPE, "tune_seed", "learning_rate"]
    tuned = book.scores.filter(pl.col("tuned_on") != "none") if book.scores.height else book.scores
    return {
        "checkpoints": len(book.series),
        "tuned": tuned.select(model).n_unique() if tuned.height else 0,
        "planned": book.planned.height,
        "done": int(book.planned["done"].sum() or 0) if book.planned.height else 0,
        "predictions": book.items.select("cell", "example_id").n_unique() if book.items.height else 0,
    }
