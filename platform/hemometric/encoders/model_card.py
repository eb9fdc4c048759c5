"""The model card: what a person must know before using a model, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from hemometric.encoders.description import Description


def model_card(description: Description, num_parameters: int) -> str:
    """Write the `README.md` of a model folder; equal descriptions give equal text."""
    config, task, prepared = description.encoder, description.task, description.preparation
    output = f"and a head that gives the {task.meaning}" if task else "and no head"
    lines = [
        f"# {'ECG model: ' + task.meaning if task else 'ECG encoder'}",
        "",
        f"A {config.kind} encoder from 12-lead ECGs to {config.embedding_dim}-dimensional embeddings, {output};",
        f"{num_parameters:,} parameters. Written by {description.written_by}.",
        "",
        "**For research only. This is not a medical device: it is not cleared for diagnosis, triage or treatment, and",
        "no decision about a patient may rest on it.**",
        "",
        "## Use",
        "",
        "```python",
        "import hemometric",
        "",
        'recordings = hemometric.read("an ECG file, or a folder of them")',
        'model = hemometric.load("path/of/this/folder")',
        "embeddings = model.embed(recordings)",
        *(["estimates = model.predict(recordings)"] if task else []),
        "```",
        "",
        "## Input",
        "",
        f"Recordings are prepared by the model itself: {', '.join(prepared.leads)} in this order, in millivolts, at",
        f"{prepared.rate_hz:g} Hz, {prepared.duration_s:g} s ({prepared.num_samples} samples).",
        "Those that cannot be prepared so are refused, and so are flat or short ones, contradicting limb leads and",
        "other units than millivolts: `model.refusals(recordings)` gives each with its reason.",
        "",
        *_table(("Preparation", "Value"), prepared.model_dump(mode="json")),
        "",
        "## Output",
        "",
        f"`embed`: float32 [n, {config.embedding_dim}]{', scaled to length 1' if config.normalised else ''}.",
    ]
    if task:
        lines += ["", f"`predict`: float32 [n], the {task.meaning}."]
        if task.kind == "regression":
            lines += [
                f"Training labels had mean {task.scale_mean:.4g} and SD {task.scale_sd:.4g} {task.unit}".rstrip() + "."
            ]
    lines += ["", "## Data and provenance", ""]
    lines += _table(("Field", "Value"), description.provenance) if description.provenance else ["None was given."]
    lines += ["", "## Metrics", ""]
    lines += _table(("Metric", "Value"), description.metrics) if description.metrics else ["None were measured."]
    lines += [
        "",
        "Metrics hold for the data named above; which split they are of is part of their name.",
        "",
        "## Limits",
        "",
        "- Other hospitals, devices, filters and patients may shift its results: validate it on your own patients,",
        "  by sex, age and site, before drawing any conclusion.",
        "- It sees one ECG at a time and knows nothing of symptoms, history or medication.",
        "- It does not say when it is unsure, and gives a number for whatever passes the gates, noise included.",
        "- Embeddings are derived from patient data: treat them as you treat the ECGs.",
        "",
    ]
    return "\n".join(lines)


def _table(head: tuple[str, str], rows: Mapping[str, object]) -> list[str]:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return lines + [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]


def _cell(value: object) -> str:
    if value is None:
        return "not defined"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    return str(value).replace("|", "\\|").replace("\n", " ")
