"""The table: a number, its aim, and whether it is met."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured quantity, in the words of the table."""

    name: str
    value: str
    aim: str = ""
    verdict: str = ""
    original: str = ""

    @staticmethod
    def _of(name: str, value: float, form: str, aim: float | None, original: str) -> "Row":
        if aim is None:
            return Row(name, form.format(value), original=original)
        verdict = "ok" if value <= aim else "miss"
        return Row(name, form.format(value), "≤ " + form.format(aim), verdict, original)

    @classmethod
    def megabytes(cls, name: str, value: float, aim: float | None = None, original: str = "") -> "Row":
        """Bytes, shown as MB of a million bytes."""
        return cls._of(name, value / 1e6, "{:.2f} MB", aim, original)

    @classmethod
    def bytes(cls, name: str, value: float) -> "Row":
        """Bytes, shown as they are."""
        return cls._of(name, value, "{:,.0f} B", None, "")

    @classmethod
    def count(cls, name: str, value: float, aim: float | None = None, original: str = "") -> "Row":
        """A whole number."""
        return cls._of(name, value, "{:.0f}", aim, original)

    @classmethod
    def rate(
        cls, name: str, value: float, aim: float | None = None, original: str = "", digits: int = 2
    ) -> "Row":
        """A number per second."""
        return cls._of(name, value, f"{{:.{digits}f}}", aim, original)

    @classmethod
    def speed(cls, name: str, value: float, aim: float | None = None) -> "Row":
        """Bytes per second, shown as MB; the aim is the least of them."""
        shown, wanted = f"{value / 1e6:.1f} MB/s", f"≥ {aim:.0f} MB/s" if aim else ""
        return cls(name, shown, wanted, ("ok" if value / 1e6 >= aim else "miss") if aim else "")

    @classmethod
    def seconds(cls, name: str, value: float, aim: float | None = None, original: str = "") -> "Row":
        """Seconds."""
        return cls._of(name, value, "{:.3f} s", aim, original)

    @classmethod
    def milliseconds(cls, name: str, value: float, aim: float | None = None, original: str = "") -> "Row":
        """Seconds, shown as ms; the aim is in ms."""
        return cls._of(name, value * 1000, "{:.1f} ms", aim, original)


def text(rows: list[Row]) -> str:
    """The table in Markdown, aligned so that it reads well in a terminal too."""
    heads = ("quantity", "measured", "aim", "", "amazon-ssm-agent")
    lines = [heads, *((r.name, r.value, r.aim, r.verdict, r.original) for r in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]

    def form(cells: tuple[str, ...]) -> str:
        padded = [
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=False))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(("-" * (w + 1)) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([form(lines[0]), rule, *map(form, lines[1:])])
