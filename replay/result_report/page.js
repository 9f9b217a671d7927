"use strict";
// The market charts can be looked into: drag over a stretch, or use the buttons. All else of the page needs no script.
const DAY = 86400, SECONDS = [60, 300, 900, 3600, 10800, 21600, 43200, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 91 * DAY];
const MARKS_MAX = 2000, LEAST = 600;

const summed = (first, deltas) => deltas.map((delta) => (first += delta));
const from = (times, at) => {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < at) low = middle + 1; else high = middle;
  }
  return low;
};
const roundStep = (least) => {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * (1 - 1e-9));
};
const text = (x, y, anchor, content) => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${content}</text>`;
const rule = (x1, y1, x2, y2) => `<line class="grid" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;

function veilOn(svg) {
  const veil = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  veil.setAttribute("class", "veil");
  svg.append(veil);
  return veil;
}

function place(veil, left, right, top, bottom) {
  for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) veil.setAttribute(name, value);
}

function prepare(svg) {
  const data = JSON.parse(document.getElementById(`${svg.id}-data`).textContent);
  const plot = svg.querySelector(".plot"), whole = plot.innerHTML, box = data.box, unit = 10 ** data.places;
  const times = summed(0, data.times), prices = summed(0, data.prices);
  const fillTimes = summed(0, data.fill_times), fillPrices = summed(0, data.fill_prices);
  const last = times[times.length - 1];
  let shown = [times[0], last];
  const [veil, frame] = [veilOn(svg), veilOn(svg)];

  function draw() {
    const [start, end] = shown;
    // What is counted beneath stays as it is: there the stretch that is shown is framed.
    const pixel = (at) => box.left + ((at - times[0]) / (last - times[0])) * (box.right - box.left);
    if (data.counts) place(frame, pixel(start), pixel(end), data.counts.top, data.counts.bottom);
    if (start <= times[0] && end >= last) {
      plot.innerHTML = whole;
      place(frame, 0, 0, 0, 0);
      return;
    }
    const first = Math.max(0, from(times, start) - 1), after = Math.min(times.length, from(times, end) + 1);
    const firstFill = from(fillTimes, start), afterFill = from(fillTimes, end + 1);
    let low = Infinity, high = -Infinity;
    for (let i = first; i < after; i++) { low = Math.min(low, prices[i]); high = Math.max(high, prices[i]); }
    for (let i = firstFill; i < afterFill; i++) { low = Math.min(low, fillPrices[i]); high = Math.max(high, fillPrices[i]); }
    if (high <= low) { low -= 1; high += 1; }
    const step = roundStep((high - low) / unit / 6) * unit;
    low = Math.floor(low / step) * step;
    high = Math.ceil(high / step) * step;
    const x = (at) => box.left + ((at - start) / (end - start)) * (box.right - box.left);
    const y = (price) => box.bottom - ((price - low) / (high - low)) * (box.bottom - box.top);
    const places = Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9));
    let parts = "";
    for (let tick = low; tick <= high + step / 2; tick += step) {
      const said = (tick / unit).toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
      parts += rule(box.left, y(tick), box.right, y(tick)) + text(box.left - 8, y(tick) + 4, "end", said);
    }
    const every = SECONDS.find((each) => each >= (end - start) / 8) || 365 * DAY;
    for (let at = Math.ceil((start + data.start) / every) * every - data.start; at <= end; at += every) {
      const iso = new Date((at + data.start) * 1000).toISOString();
      const said = every < DAY ? iso.slice(5, 16).replace("T", " ") : iso.slice(0, 10);
      parts += rule(x(at), box.top, x(at), box.bottom) + text(Math.min(x(at), box.right - 34), box.bottom + 16, "middle", said);
    }
    const line = [];
    for (let i = first; i < after; i++) line.push(`${x(times[i]).toFixed(1)} ${y(prices[i]).toFixed(1)}`);
    parts += `<g clip-path="url(#${svg.id}-clip)"><path class="price" d="M${line.join(" ")}"/></g>`;
    const few = afterFill - firstFill <= MARKS_MAX, marks = { b: "", s: "" };
    for (let i = firstFill; i < afterFill; i++) {
      const side = data.sides[i];
      const shape = few ? data.shapes[side] : "v3";
      marks[side] += `M${x(fillTimes[i]).toFixed(1)} ${y(fillPrices[i]).toFixed(1)}${shape}`;
    }
    const style = few ? "" : " span";
    plot.innerHTML = `${parts}<path class="buy${style}" d="${marks.b}"/><path class="sell${style}" d="${marks.s}"/>`;
  }

  function show(start, end) {
    const length = Math.min(last - times[0], Math.max(LEAST, end - start));
    const begin = Math.min(Math.max(times[0], (start + end - length) / 2), last - length);
    shown = [begin, begin + length];
    draw();
  }

  const by = (left, right) => () => {
    const length = shown[1] - shown[0];
    show(shown[0] + left * length, shown[1] + right * length);
  };
  const bar = document.createElement("div");
  bar.className = "zoom";
  const actions = { earlier: by(-0.5, -0.5), closer: by(0.25, -0.25), wider: by(-0.5, 0.5), later: by(0.5, 0.5), all: () => show(times[0], last) };
  for (const [name, act] of Object.entries(actions)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.setAttribute("aria-label", `${name}: ${svg.querySelector("title").textContent}`);
    button.addEventListener("click", act);
    bar.append(button);
  }
  const hint = document.createElement("span");
  hint.textContent = "or drag over a stretch";
  bar.append(hint);
  svg.after(bar);

  let held = null;
  const at = (event) => {
    const frame = svg.getBoundingClientRect();
    const pixel = ((event.clientX - frame.left) / frame.width) * svg.viewBox.baseVal.width;
    return Math.min(box.right, Math.max(box.left, pixel));
  };
  const time = (pixel) => shown[0] + ((pixel - box.left) / (box.right - box.left)) * (shown[1] - shown[0]);
  const cover = (left, right) => place(veil, left, right, box.top, box.bottom);
  svg.addEventListener("pointerdown", (event) => { held = at(event); svg.setPointerCapture(event.pointerId); });
  svg.addEventListener("pointermove", (event) => { if (held !== null) cover(Math.min(held, at(event)), Math.max(held, at(event))); });
  svg.addEventListener("pointercancel", () => { held = null; cover(0, 0); });
  svg.addEventListener("pointerup", (event) => {
    if (held === null) return;
    const [left, right] = [Math.min(held, at(event)), Math.max(held, at(event))];
    held = null;
    cover(0, 0);
    if (right - left > 5) show(time(left), time(right));
  });
  svg.addEventListener("dblclick", actions.all);
}

for (const svg of document.querySelectorAll("svg.market")) prepare(svg);
