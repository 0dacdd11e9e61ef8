"""Line and point charts as SVG, written by hand: for scripts/make-performance-page. Standard library only.

A figure is a row of panels that share one legend. Colours and marks go by a series' place in the legend, so that a series looks the
same in each panel.
"""

import math
from html import escape

COLOURS = ["#0b6e99", "#d9730d", "#0f7b6c", "#ad1a72", "#6940a5", "#787774"]
PANEL_WIDTH, PANEL_HEIGHT, MARGIN_LEFT, MARGIN_TOP, MARGIN_BOTTOM, LEGEND_HEIGHT = 300, 200, 58, 34, 46, 24


def nice_ticks(top, count=5):
    """Round numbers from 0 to at least `top`."""
    if top <= 0:
        return [0, 1]
    rough = top / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def number(value):
    text = f"{value:.10g}"
    return f"{value:,.0f}" if value >= 10000 and value == int(value) else text


class Panel:
    """title; series: {name: [(x, y), ...]}; dashed: names drawn dashed; points_only: no lines at all; log_x: x doubles from step to step."""

    def __init__(self, title, series, x_label, y_label, log_x=False, dashed=(), points_only=False, x_top=None):
        self.title, self.x_label, self.y_label = title, x_label, y_label
        self.series = {name: sorted(points) for name, points in series.items() if points}
        self.log_x, self.dashed, self.points_only = log_x, set(dashed), points_only
        xs = [x for points in self.series.values() for x, _ in points]
        ys = [y for points in self.series.values() for _, y in points]
        self.y_ticks = nice_ticks(max(ys, default=1))
        if log_x:
            self.x_ticks = sorted(set(xs))
            self.x_range = (math.log2(min(xs, default=1)), math.log2(max(xs, default=2)))
        else:
            self.x_ticks = nice_ticks(x_top or max(xs, default=1))
            self.x_range = (0, self.x_ticks[-1])

    def place(self, x, y):
        low, high = self.x_range
        x = math.log2(x) if self.log_x else x
        part = (x - low) / (high - low) if high > low else 0.5
        return MARGIN_LEFT + part * (PANEL_WIDTH - MARGIN_LEFT - 16), MARGIN_TOP + (1 - y / self.y_ticks[-1]) * PANEL_HEIGHT

    def draw(self, colour_of):
        right, bottom = PANEL_WIDTH - 16, MARGIN_TOP + PANEL_HEIGHT
        out = [f'<text x="{MARGIN_LEFT}" y="16" font-weight="bold">{escape(self.title)}</text>']
        for tick in self.y_ticks:
            _, y = self.place(1, tick)
            out.append(f'<line x1="{MARGIN_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#e3e2e0"/>')
            out.append(f'<text x="{MARGIN_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
        last_label = -math.inf
        for tick in self.x_ticks:
            x, _ = self.place(tick, 0)
            out.append(f'<line x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 4}" stroke="#37352f"/>')
            if x - last_label >= 24:
                out.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{number(tick)}</text>')
                last_label = x
        out.append(f'<line x1="{MARGIN_LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="#37352f"/>')
        out.append(f'<text x="{(MARGIN_LEFT + right) / 2:.0f}" y="{bottom + 36}" text-anchor="middle">{escape(self.x_label)}</text>')
        middle = MARGIN_TOP + PANEL_HEIGHT / 2
        out.append(f'<text x="12" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 12 {middle:.0f})">{escape(self.y_label)}</text>')
        for name, points in self.series.items():
            placed = [self.place(x, y) for x, y in points]
            dash = ' stroke-dasharray="5 4"' if name in self.dashed else ""
            if len(placed) > 1 and not self.points_only:
                line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
                out.append(f'<polyline points="{line}" fill="none" stroke="{colour_of(name)}" stroke-width="2"{dash}/>')
            if not dash or len(placed) == 1:
                for (x, y), (real_x, real_y) in zip(placed, points):
                    out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour_of(name)}">'
                               f"<title>{escape(name)}: {number(round(real_x, 4))}, {number(round(real_y, 2))}</title></circle>")
        return "\n".join(out)


def figure(panels):
    """The text of an SVG file; None when no panel has anything to show."""
    panels = [panel for panel in panels if panel.series]
    if not panels:
        return None
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    dashed = {name for panel in panels for name in panel.dashed}

    def colour_of(name):
        return COLOURS[names.index(name) % len(COLOURS)]

    width = PANEL_WIDTH * len(panels)
    rows, x, row = [], MARGIN_LEFT, 0
    for name in names:
        needed = 34 + 7 * len(name)
        if x > MARGIN_LEFT and x + needed > width:
            x, row = MARGIN_LEFT, row + 1
        rows.append((x, row, name))
        x += needed
    legend_top = MARGIN_TOP + PANEL_HEIGHT + MARGIN_BOTTOM
    height = legend_top + LEGEND_HEIGHT * (row + 1)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
           'font-family="sans-serif" font-size="11" fill="#37352f">', f'<rect width="{width}" height="{height}" fill="#ffffff"/>']
    for index, panel in enumerate(panels):
        out += [f'<g transform="translate({PANEL_WIDTH * index} 0)">', panel.draw(colour_of), "</g>"]
    for x, row, name in rows:
        y = legend_top + LEGEND_HEIGHT * row + 12
        dash = ' stroke-dasharray="5 4"' if name in dashed else ""
        out.append(f'<line x1="{x}" y1="{y}" x2="{x + 20}" y2="{y}" stroke="{colour_of(name)}" stroke-width="3"{dash}/>')
        out.append(f'<text x="{x + 26}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"
