"""A profile as the JSON object of ``lapilli profile --json``, and as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from lapilli.profile.answer import answer
from lapilli.profile.events import PartRecord, Profile
from lapilli.profile.rows import Row, job_rows, operator_rows, totals
from lapilli.timing.evidence import evidence_of

SCHEMA = "lapilli-profile"
SCHEMA_VERSION = 1
"""Goes up whenever a key changes its meaning or goes away."""


def to_json(profile: Profile) -> dict[str, Any]:
    """The whole profile; ``docs/profile.md`` lists the keys."""
    limits = profile.limits
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "model": profile.model,
        "source": profile.source,
        "chip": profile.chip,
        "device": profile.device,
        "schedule": profile.schedule,
        "answer": answer(profile),
        "limits": {
            "clock_hz": limits.clock_hz,
            "macs_per_cycle": limits.macs_per_cycle,
            "bytes_per_cycle": limits.bytes_per_cycle,
            "on_chip_bytes_per_cycle": limits.on_chip_bytes_per_cycle,
            "sram_bytes": limits.sram_bytes,
        },
        "evidence": evidence_of(profile.chip).to_dict(),
        "totals": totals(profile),
        "operators": operator_rows(profile),
        "jobs": job_rows(profile),
        "parts": [
            {
                "part": part.number,
                "jobs": [part.jobs.start, part.jobs.stop],
                "cycles": part.cycles,
                "seconds": profile.seconds(part.cycles),
                "seconds_measured": part.executing,
                "copying_seconds_measured": part.copying,
                **_counted(part),
                "memory": _memory(part),
            }
            for part in profile.parts
        ],
        "segments": [
            {
                "on": segment.processor.value,
                "number": segment.number,
                "start": segment.start,
                "end": segment.end,
            }
            for segment in profile.segments
        ],
        "edges": [list(edge) for edge in profile.edges],
        "blocking": profile.blocking.to_dict() if profile.blocking else None,
        "notes": list(profile.notes),
    }


def _memory(part: PartRecord) -> Row | None:
    """None where it is not known."""
    found = part.memory
    if found is None:
        return None
    return {
        "bytes": found.taken,
        "bytes_apart": found.apart,
        "bytes_alive": found.alive,
        "alive_by_job": list(found.by_job),
        "regions": [
            {
                "first_job": part.jobs.start + region.first,
                "last_job": part.jobs.start + region.last,
                "start": region.offset,
                "bytes": region.size,
            }
            for region in found.regions
        ],
    }


def _counted(part: PartRecord) -> Row:
    """None for what the kernel's counters don't tell."""
    found = part.counters
    return {
        "cycles_measured": found.cycles if found else None,
        "idle_cycles_measured": found.idle if found else None,
        "bytes_read_measured": found.read if found else None,
        "bytes_written_measured": found.written if found else None,
    }


def to_csv(profile: Profile, jobs: bool = False) -> str:
    """The operators, or the jobs, with a head line. Cells never start a formula in a spreadsheet:
    names are anybody's."""
    rows = job_rows(profile) if jobs else operator_rows(profile)
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_flat(row) for row in rows)
    return text.getvalue()


def _flat(row: Row) -> Row:
    return {key: _cell(value) for key, value in row.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, str):
        cleaned = "".join(c if c.isprintable() else " " for c in value)
        return "'" + cleaned if cleaned.startswith(("=", "+", "-", "@")) else cleaned
    return value
