"""Pictures of the dashboards' panels: what Grafana would show of a real run, drawn from Prometheus'
answers to the panels' own expressions, and photographed by Chromium."""

import html
import json
import shutil
import subprocess
import tempfile
import time
import pathlib
import os

SECONDS = 75
COLOURS = ["#3274d9", "#e0752d", "#5a9e3d", "#a352cc", "#c4162a", "#0a8f8f", "#b8860b", "#666"]
WIDTH, ROW = 1440, 30


def record(server, probe, app):
    """A minute of a day: traffic, a client with a new header, blocked pages, a policy and its rollback."""
    begin = time.time()
    good = server.config.read_text()
    later = [(25, lambda: probe.put_edge("strip-origin")), (40, lambda: probe.put_edge("none")),
             (50, lambda: change(server, good + "cors.allowed.headers=X-New-Header\n")),
             (65, lambda: change(server, good))]
    step = 0
    while (now := time.time() - begin) < SECONDS:
        step += 1
        while later and now > later[0][0]:
            later.pop(0)[1]()
        for _ in range(4):
            server.preflight(app, "POST")
            server.predict(app)
        server.predict("https://pr-7.preview.example.com", Cookie="session=1")
        server.preflight("https://scanner.example", "POST")
        server.report(app, ok=40, network=step % 2, blocked=0, preflight_blocked=0)
        if 25 < now < 50:
            for _ in range(2):
                server.preflight(app, "POST", "content-type,x-new-header")
            server.preflight(app, "DELETE")
            server.predict("https://scanner.example", Authorization="Bearer x")
            server.report(app, blocked=3, preflight_blocked=2)
        if step % 10 == 0:
            probe.run()
        time.sleep(0.2)


def change(server, text):
    server.config.write_text(text)
    server.reload()


def number(value, unit, decimals=None):
    if value != value:
        return "-"
    if decimals == 0 and unit == "short":
        return f"{value:.0f}"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit == "reqps":
        return f"{value:.3g}/s"
    return f"{value:.4g}"


def legend(template, labels):
    for name in [part.split("}}")[0] for part in template.split("{{")[1:]]:
        template = template.replace("{{" + name + "}}", labels.get(name.strip(), ""))
    return template or ", ".join(f"{k}={v}" for k, v in labels.items() if k != "__name__") or "value"


def chart(series, unit, begin, end, width, height):
    top = max((v for _, points in series for _, v in points if v == v), default=0) or 1
    columns = max(1, (width - 62) // 170)
    left, bottom = 62, 20 + 15 * ((len(series) + columns - 1) // columns)
    x = lambda t: left + (t - begin) / (end - begin) * (width - left - 10)
    y = lambda v: 8 + (1 - v / top) * (height - bottom - 8)
    out = [f'<svg width="{width}" height="{height}">']
    for part in (0, 0.5, 1):
        out.append(f'<line x1="{left}" x2="{width - 10}" y1="{y(part * top)}" y2="{y(part * top)}" '
                   f'stroke="#ddd"/><text x="{left - 6}" y="{y(part * top) + 4}" text-anchor="end">'
                   f"{number(part * top, unit)}</text>")
    for at, (name, points) in enumerate(series):
        colour = COLOURS[at % len(COLOURS)]
        line = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in points if v == v)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        column = left + (at % columns) * 170
        row = height - bottom + 24 + 15 * (at // columns)
        out.append(f'<rect x="{column}" y="{row - 9}" width="10" height="3" fill="{colour}"/>'
                   f'<text x="{column + 14}" y="{row - 4}">{html.escape(name)[:26]}</text>')
    return "".join(out) + "</svg>"


def draw(prometheus, boards, plain, folder):
    """One picture for each dashboard, `cors-executive.png` and so on, into `folder`."""
    end = time.time()
    begin = end - SECONDS
    for path in sorted(boards.glob("*.json")):
        board = json.loads(path.read_text())
        body, bottom = [], 0
        for panel in board["panels"]:
            if panel["datasource"]["type"] != "prometheus":
                continue
            place, unit = panel["gridPos"], panel["fieldConfig"]["defaults"].get("unit", "short")
            width, height = place["w"] * WIDTH // 24 - 12, place["h"] * ROW - 42
            bottom = max(bottom, (place["y"] + place["h"]) * ROW)
            inner = ""
            if panel["type"] in ("timeseries", "heatmap"):
                series = []
                for target in panel["targets"]:
                    answer = prometheus.ask("query_range", query=plain(target["expr"]).replace("[1m]", "[10s]"),
                                            start=begin, end=end, step=0.5)
                    series += [(legend(target["legendFormat"], found["metric"]),
                                [(float(t), float(v)) for t, v in found["values"]])
                               for found in answer["result"]]
                inner = chart(series[:16], unit, begin, end, width, height) if series else "<i>no data</i>"
            elif panel["type"] == "stat":
                for target in panel["targets"]:
                    for found in prometheus.query(plain(target["expr"]))[:4]:
                        decimals = panel["fieldConfig"]["defaults"].get("decimals")
                        value = number(float(found["value"][1]), unit, decimals)
                        name = html.escape(legend(target["legendFormat"], found["metric"]))
                        inner += f"<div class=stat><b>{value}</b> {name}</div>"
                inner = inner or "<i>no data</i>"
            else:
                rows = []
                for target in panel["targets"]:
                    for found in prometheus.query(plain(target["expr"]))[:8]:
                        labels = {k: v for k, v in found["metric"].items()
                                  if k not in ("__name__", "instance", "job", "alertstate")}
                        cells = "".join(f"<td>{html.escape(v)}</td>" for v in labels.values())
                        rows.append(f"<tr>{cells}<td>{number(float(found['value'][1]), unit)}</td></tr>")
                inner = f"<table>{''.join(rows)}</table>" if rows else "<i>none</i>"
            body.append(f'<div class=panel style="left:{place["x"] * WIDTH // 24}px;top:{place["y"] * ROW}px;'
                        f'width:{width}px;height:{place["h"] * ROW - 12}px"><h2>{html.escape(panel["title"])}'
                        f"</h2>{inner}</div>")
        page = f"""<!doctype html><meta charset=utf-8><title>{board["title"]}</title><style>
            body {{ margin: 0; background: #f4f5f5; font: 12px sans-serif; }}
            h1 {{ font-size: 18px; margin: 0; padding: 10px 6px; }}
            main {{ position: relative; height: {bottom}px; margin: 0 6px; }}
            .panel {{ position: absolute; background: white; border: 1px solid #ddd; box-sizing: border-box;
                      overflow: hidden; }}
            h2 {{ font-size: 12px; margin: 6px 8px; }} .stat {{ padding: 4px 12px; }}
            .stat b {{ font-size: 26px; }} td {{ padding: 2px 10px; border-bottom: 1px solid #eee; }}
            i {{ padding: 8px; color: #999; }} text {{ font: 11px sans-serif; fill: #555; }}
            </style><h1>{board["title"]}</h1><main>{"".join(body)}</main>"""
        photograph(page, bottom + 48, folder / f"{path.stem.removeprefix('torchfront-')}.png")


def photograph(page, height, file):
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "page.html"
        source.write_text(page)
        subprocess.run([chromium, "--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu",
                        f"--user-data-dir={folder}/profile", f"--window-size={WIDTH + 12},{height}",
                        f"--screenshot={file}", source.as_uri()], check=True, timeout=120,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
