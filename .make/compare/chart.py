"""Bars as SVG: one panel a workload, one bar a server, the ratio beside it."""

from xml.sax.saxutils import escape

WIDTH, NAME, BAR, ROW, HEAD = 900, 230, 440, 26, 44
OURS, OTHERS = "#0072b2", "#999999"


def svg(title, panels):
    """`panels`: pairs of a heading and rows (name, value, text at the bar, whether it is ours)."""
    height = 40 + sum(HEAD + ROW * len(rows) for _, rows in panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    top = 10
    for heading, rows in panels:
        parts.append(text(12, top + 24, heading, 'font-weight="bold"'))
        top += HEAD - 6
        largest = max((value for _, value, _, _ in rows), default=1) or 1
        for name, value, label, ours in rows:
            length = max(1, BAR * value / largest)
            color = OURS if ours else OTHERS
            parts.append(text(NAME, top + 15, name, 'text-anchor="end"'))
            parts.append(
                f'<rect x="{NAME + 8}" y="{top + 2}" width="{length:.1f}" height="{ROW - 8}" '
                f'fill="{color}"/>'
            )
            parts.append(text(NAME + 16 + length, top + 15, label))
            top += ROW
        top += 6
    parts.append(text(12, height - 10, title, 'fill="#555555" font-size="11"'))
    return "\n".join([*parts, "</svg>", ""])


def text(x, y, words, attributes=""):
    return f'<text x="{x:.1f}" y="{y}" fill="#111111" {attributes}>{escape(words)}</text>'.replace(
        'fill="#111111" fill=', "fill="
    )
