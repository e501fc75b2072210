"""The table of an interference estimate: alarms first, then how much each application slows, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from renderers.plain import columns, wrapped
from specs.base import Figure
from specs.interference import Alarm, InterferenceEstimate, Score

SHOWN = 20
ALARMS = 5
FEATURES = 6


def interference_table(found: InterferenceEstimate, width: int | None = None) -> str:
    """Return the estimate as text of at most ``width`` columns (the terminal's, at most 100, when None)."""
    width = columns(width)
    of = f"{found.applications} applications on {found.node_types} node types, {found.rows} rows"
    head = f"{found.metadata.name}: {found.quantity} of {of}"
    parts = [*wrapped("", head, width), "", *_alarms(found, width), "", *_sensitivities(found), ""]
    parts += [*_scores(found.scores), *wrapped("  ", f"accuracy: {found.accuracy_is}", width), ""]
    return "\n".join([*parts, *_rest(found, width)]).rstrip()


def _alarms(found: InterferenceEstimate, width: int) -> Iterator[str]:
    if not found.watched:
        yield "  alarms          none looked for: the rows have no node and window"
        return
    if not found.alarms:
        yield f"  no alarm in {found.watched} rows"
        return
    count = f"{len(found.alarms)} alarm{'s' * (len(found.alarms) != 1)}"
    yield f"  {count} in {found.watched} rows; nothing was done about them"
    for alarm in found.alarms[:ALARMS]:
        yield from wrapped("    ", _alarm(alarm, found.quantity), width)
    if len(found.alarms) > ALARMS:
        yield f"    … and {len(found.alarms) - ALARMS} more, in the document"


def _alarm(alarm: Alarm, quantity: str) -> str:
    by = f", likely by {alarm.antagonist} (correlation {alarm.correlation:.2f})" if alarm.antagonist else ""
    return (
        f"{alarm.app} on {alarm.node}, {alarm.window}: {quantity} {alarm.value:.3g} against {alarm.baseline:.3g} "
        f"usual, above {alarm.threshold:.3g} in {alarm.over} of {alarm.of} windows; {alarm.resource} "
        f"({alarm.sign}){by}. "
        f"{alarm.action}: {alarm.advice}"
    )


def _sensitivities(found: InterferenceEstimate) -> Iterator[str]:
    ranked = sorted(found.sensitivities, key=lambda one: -one.heavy.value)
    name = max([len(one.app) for one in ranked[:SHOWN]] + [11])
    kind = max([len(one.node_type) for one in ranked[:SHOWN]] + [9])
    name, kind = min(name, 26), min(kind, 22)
    head = f"  {'application':<{name}}  {'node type':<{kind}}  {'rows':>5}  {'alone':>7}"
    yield f"{head}   slowdown at median and p90 pressure"
    for one in ranked[:SHOWN]:
        yield (
            f"  {one.app[:name]:<{name}}  {one.node_type[:kind]:<{kind}}  {one.rows:>5}  {one.alone:>7.3g}   "
            f"{one.typical.value:.2f}   {_figure(one.heavy)}"
        )
    if len(ranked) > SHOWN:
        yield f"  … and {len(ranked) - SHOWN} more, in the document"


def _figure(figure: Figure) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} – {figure.high:.2f})"


def _scores(scores: Iterable[Score]) -> Iterator[str]:
    yield f"  {'learner':<21}{'held out':<14}{'accuracy':>9}{'R²':>8}{'P90 error':>11}{'rows':>8}"
    for one in scores:
        r_squared = "–" if one.r_squared is None else f"{one.r_squared:.2f}"
        yield f"  {one.learner:<21}{one.split:<14}{one.accuracy:>9.1%}{r_squared:>8}{one.p90_error:>11.1%}{one.rows:>8}"


def _rest(found: InterferenceEstimate, width: int) -> Iterator[str]:
    held = "" if found.interval_held is None else f"; held by {found.interval_held:.1%} of rows held out"
    yield from wrapped(
        "  interval  ",
        f"value ÷ {found.interval:.3g} … × {found.interval:.3g} for {found.interval_share:.0%}{held}",
        width,
    )
    most = ", ".join(f"{one.feature} {one.points:+.2g}" for one in found.importance[:FEATURES])
    yield from wrapped("  matters   ", f"{most} (points of error when shuffled)", width)
    for entry in found.evidence:
        note = f" · {entry.note}" if entry.note else ""
        yield from wrapped("  evidence  ", f"{entry.quantity}: {entry.basis}, {entry.source}{note}", width)
    for note in found.notes:
        yield from wrapped("  note      ", note, width)
