// The page of lapilli profile --html. The data comes from a model that anybody may have made: it is
// only ever set as text or as numbers, never as markup.
"use strict";

(() => {
  const profile = JSON.parse(document.getElementById("data").textContent);
  const { operators, jobs, parts, segments, edges, totals, limits } = profile;
  const SVG = "http://www.w3.org/2000/svg";

  // ------------------------------------------------------------------------------------ elements

  function fill(made, attributes, children) {
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    for (const child of children) made.append(child);
    return made;
  }

  const element = (tag, attributes, ...children) =>
    fill(document.createElement(tag), attributes, children);

  const drawn = (tag, attributes, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);

  function section(id, title, hint, controls, ...body) {
    const head = element("div", { class: "head" }, element("h2", {}, title));
    head.append(element("span", { class: "hint" }, hint));
    if (controls) head.append(controls);
    return element("section", { id, "aria-label": title }, head, ...body);
  }

  // --------------------------------------------------------------------------------------- texts

  const digits = (value, most) =>
    value.toLocaleString("en", { minimumFractionDigits: most, maximumFractionDigits: most });

  function seconds(value) {
    if (value === null) return "not measured";
    if (value >= 1) return `${digits(value, 2)} s`;
    if (value >= 1e-3) return `${digits(value * 1e3, value >= 1e-2 ? 1 : 2)} ms`;
    if (value >= 1e-6) return `${digits(value * 1e6, value >= 1e-4 ? 0 : 1)} µs`;
    return `${digits(value * 1e9, 0)} ns`;
  }

  function scaled(value, unit, step = 1000) {
    const prefixes = step === 1024 ? ["", "Ki", "Mi", "Gi"] : ["", "k", "M", "G", "T"];
    let at = 0;
    while (value >= step && at < prefixes.length - 1) {
      value /= step;
      at += 1;
    }
    return `${digits(value, at === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2)} ${prefixes[at]}${unit}`;
  }

  const bytes = (value) => scaled(value, "B", 1024);
  const percent = (value) => (value === null ? "" : `${digits(value * 100, 1)} %`);
  const title = (row) => (row.operators.length ? `#${row.operators[0]} ${row.kind}` : row.kind);
  const colour = (row) => `of-${row.on === "CPU" ? "CPU" : row.bound || "part"}`;

  function details(row) {
    const lines = [`${row.on}, ${seconds(row.seconds)} ${row.seconds === null ? "" : row.origin}`];
    if (row.shape) lines.push(row.shape);
    if (row.name) lines.push(row.name);
    if (row.on === "CPU") return lines;
    lines.push(`${percent(row.share)} of the NPU's time, bound by ${row.bound || "nothing"}`);
    lines.push(`${scaled(row.macs_useful, "MAC")}, ${percent(row.utilisation)} of the peak`);
    lines.push(`${bytes(row.bytes)} moved, ${digits(row.bandwidth / 1e9, 2)} GB/s`);
    return lines;
  }

  // -------------------------------------------------------------------------- pointing, choosing

  const tip = element("div", { class: "tip", role: "tooltip" });
  tip.hidden = true;

  function showTip(event, heading, lines) {
    tip.replaceChildren(element("b", {}, heading), ...lines.map((l) => element("div", {}, l)));
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, window.innerWidth - box.width - 6);
    const below = event.clientY + 16 + box.height < window.innerHeight;
    tip.style.left = `${Math.max(left, 4)}px`;
    tip.style.top = `${below ? event.clientY + 16 : Math.max(event.clientY - box.height - 10, 4)}px`;
  }

  function pointing(made, heading, lines, row) {
    made.addEventListener("pointermove", (event) => showTip(event, heading, lines()));
    made.addEventListener("pointerleave", () => (tip.hidden = true));
    if (row !== null) {
      made.dataset.row = row;
      made.addEventListener("click", () => choose(row));
    }
    return made;
  }

  let chosen = null;

  function mark() {
    for (const made of document.querySelectorAll("[data-row]")) {
      made.classList.toggle("chosen", chosen !== null && made.dataset.row === String(chosen));
    }
  }

  function choose(row) {
    chosen = chosen === row ? null : row;
    mark();
    for (const place of ["#operators tr.chosen", "#graph .node.chosen"]) {
      const found = chosen === null ? null : document.querySelector(place);
      const box = found && found.closest(".scroll");
      if (!box) continue;
      const inside = found.getBoundingClientRect();
      const outside = box.getBoundingClientRect();
      if (inside.top < outside.top + 30 || inside.bottom > outside.bottom) {
        box.scrollTop += inside.top - outside.top - outside.height / 2;
      }
    }
  }

  // ------------------------------------------------------------------------------------ the head

  function card(label, figure, detail) {
    return element(
      "div",
      { class: "card" },
      element("div", { class: "label" }, label),
      element("div", { class: "figure" }, figure),
      element("div", { class: "detail" }, detail),
    );
  }

  function cards() {
    const peak = limits.macs_per_cycle * limits.clock_hz;
    const npu = totals.npu_seconds_measured;
    const found = [
      card(
        "NPU time, modelled",
        seconds(totals.npu_seconds),
        npu === null ? `${totals.npu_cycles.toLocaleString("en")} cycles` : `${seconds(npu)} measured`,
      ),
    ];
    if (operators.some((row) => row.on === "CPU")) {
      const known = totals.cpu_seconds_measured !== null;
      found.push(
        card("CPU operators", seconds(totals.cpu_seconds_measured), known ? "measured here" : ""),
      );
    }
    found.push(
      card(
        "Utilisation",
        percent(totals.utilisation),
        `${scaled(totals.macs_useful, "MAC")} useful, peak ${scaled(peak, "MAC/s")}`,
      ),
      card("Memory traffic", bytes(totals.bytes), `${digits(totals.bandwidth / 1e9, 2)} GB/s on average`),
      card(
        "Coefficients",
        bytes(totals.coefficients_stored),
        `${digits(totals.compression, 2)} weights a stored byte`,
      ),
      card(
        "On the NPU",
        `${totals.operators_on_npu} of ${totals.operators}`,
        `${totals.jobs} jobs in ${totals.parts} part${totals.parts === 1 ? "" : "s"}`,
      ),
    );
    return element("div", { class: "cards" }, ...found);
  }

  function bounds() {
    const bar = element("div", { class: "bar" });
    const legend = element("div", { class: "legend" });
    for (const [name, cycles] of Object.entries(totals.cycles_by_bound)) {
      const share = cycles / totals.npu_cycles;
      const piece = element("div", { class: `of-${name}`, title: name });
      piece.style.width = `${100 * share}%`;
      bar.append(piece);
      const swatch = element("span", { class: `swatch of-${name}` });
      legend.append(element("span", {}, swatch, `${name} ${percent(share)}`));
    }
    return section("bounds", "What the time waits for", "share of the NPU's time", null, bar, legend);
  }

  // -------------------------------------------------------------------------------- time as x axis

  const start = Object.fromEntries(segments.filter((s) => s.on === "NPU").map((s) => [s.number, s.start]));
  let total = Math.max(...segments.map((s) => s.end), 1e-9);
  const LEFT = 74;
  const RIGHT = 8;
  const view = { from: 0, to: total };
  const redraws = [];

  const jobTime = (job, cycles) => (start[job.part] || 0) + (job.start_cycles + cycles) / limits.clock_hz;

  function setView(from, to) {
    const span = Math.min(Math.max(to - from, total / 20000), total);
    view.from = Math.min(Math.max(from, 0), total - span);
    view.to = view.from + span;
    for (const redraw of redraws) redraw();
  }

  function zoom(factor, at = (view.from + view.to) / 2) {
    setView(at - (at - view.from) * factor, at + (view.to - at) * factor);
  }

  const move = (share) => {
    const by = (view.to - view.from) * share;
    setView(view.from + by, view.to + by);
  };

  const ACTIONS = {
    "+": () => zoom(0.5),
    "=": () => zoom(0.5),
    "-": () => zoom(2),
    "0": () => setView(0, total),
    ArrowLeft: () => move(-0.2),
    ArrowRight: () => move(0.2),
  };

  function zoomButtons() {
    const made = element("div", { class: "controls" });
    for (const [text, label, key] of [
      ["+", "Zoom in", "+"],
      ["−", "Zoom out", "-"],
      ["←", "Earlier", "ArrowLeft"],
      ["→", "Later", "ArrowRight"],
      ["All", "Show all", "0"],
    ]) {
      const button = element("button", { type: "button", "aria-label": label, title: label }, text);
      button.addEventListener("click", ACTIONS[key]);
      made.append(button);
    }
    return made;
  }

  // A drawing over time: wheel and keys zoom, dragging pans.
  function timeDrawing(id, label, height, draw) {
    const svg = drawn("svg", { id, tabindex: 0, role: "img", "aria-label": label, height });
    const width = () => Math.max(svg.clientWidth, 200);
    const timeAt = (event) => {
      const x = event.clientX - svg.getBoundingClientRect().left - LEFT;
      return view.from + (x / (width() - LEFT - RIGHT)) * (view.to - view.from);
    };
    svg.addEventListener("wheel", (event) => {
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        move(Math.sign(event.deltaX || event.deltaY) * 0.1);
      } else {
        zoom(event.deltaY < 0 ? 0.8 : 1.25, timeAt(event));
      }
      event.preventDefault();
    }, { passive: false });
    svg.addEventListener("keydown", (event) => {
      if (ACTIONS[event.key] && !event.ctrlKey && !event.metaKey) {
        ACTIONS[event.key]();
        event.preventDefault();
      }
    });
    drag(svg, width);
    redraws.push(() => {
      const scale = (width() - LEFT - RIGHT) / (view.to - view.from);
      const x = (time) => LEFT + (time - view.from) * scale;
      svg.dataset.from = view.from;
      svg.dataset.to = view.to;
      svg.replaceChildren(...axis(x, height, width()), ...draw(x, width()));
      mark();
    });
    return svg;
  }

  function drag(svg, width) {
    let held = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button === 0) held = { x: event.clientX, from: view.from, to: view.to, moved: false };
    });
    window.addEventListener("pointermove", (event) => {
      if (!held) return;
      const by = event.clientX - held.x;
      if (Math.abs(by) > 3) held.moved = true;
      if (!held.moved) return;
      const time = (by / (width() - LEFT - RIGHT)) * (held.to - held.from);
      setView(held.from - time, held.to - time);
    });
    window.addEventListener("pointerup", () => (held = null));
    window.addEventListener("pointercancel", () => (held = null));
  }

  function ticks(from, to, about) {
    const rough = (to - from) / about;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let i = Math.ceil(from / step); i * step <= to; i += 1) found.push(i * step);
    return found;
  }

  function axis(x, height, width) {
    const found = [];
    for (const time of ticks(view.from, view.to, width / 110)) {
      found.push(drawn("line", { class: "grid", x1: x(time), x2: x(time), y1: 0, y2: height - 16 }));
      if (x(time) > width - 26) continue;
      const text = view.to - view.from < 1e-5
        ? `${digits(time * 1e6, 2)} µs`
        : `${digits(time * 1e3, view.to - view.from < 1e-3 ? 3 : 2)} ms`;
      found.push(drawn("text", { class: "faint", x: x(time), y: height - 3, "text-anchor": "middle" }, text));
    }
    return found;
  }

  // A rectangle from time to time, cut to what is seen; nothing if it is elsewhere.
  function span(x, width, from, to, y, height, kind) {
    if (to < view.from || from > view.to) return null;
    const left = Math.max(x(from), LEFT);
    const right = Math.min(x(to), width - RIGHT);
    return drawn("rect", { class: `slice ${kind}`, x: left, y, width: Math.max(right - left, 0.6), height, rx: 1.5 });
  }

  // The text of a rectangle, if it has room for enough of it.
  function caption(made, text) {
    const room = Math.floor((Number(made.getAttribute("width")) - 6) / 7.4);
    if (room < 4) return null;
    const short = text.length > room ? `${text.slice(0, room - 1)}…` : text;
    const y = Number(made.getAttribute("y")) + Number(made.getAttribute("height")) / 2 + 4;
    return drawn("text", { class: "on-colour", x: Number(made.getAttribute("x")) + 4, y }, short);
  }

  const TRACKS = ["front end", "NN cores", "TP cores", "DRAM", "CPU"];
  const TRACK = 34;

  function jobSpans(job) {
    const row = operators[job.row];
    const [begin, busy] = [jobTime(job, 0), jobTime(job, job.cycles_start_up)];
    const end = jobTime(job, job.cycles);
    const found = [];
    if (busy > begin) found.push([0, begin, busy, "of-start-up", "start-up"]);
    const unit = job.unit === "NN" ? 1 : 2;
    found.push([unit, busy, end, `of-${job.bound}`, title(row)]);
    const multipliers = jobTime(job, job.cycles_start_up + job.cycles_coefficients);
    if (job.cycles_coefficients) found.push([1, busy, multipliers, "working", "", 0.2]);
    const memory = jobTime(job, job.cycles_start_up + job.cycles_memory);
    if (job.cycles_memory) found.push([3, busy, memory, "of-memory", title(row)]);
    return found;
  }

  function drawTimeline(x, width) {
    const found = TRACKS.flatMap((name, i) => [
      drawn("rect", { class: "track", x: LEFT, y: i * TRACK + 2, width: width - LEFT - RIGHT, height: TRACK - 6 }),
      drawn("text", { x: 0, y: i * TRACK + 20 }, name),
    ]);
    const put = (row, heading, lines, track, from, to, kind, text, share = 1) => {
      const height = (TRACK - 10) * share;
      const made = span(x, width, from, to, (track + 1) * TRACK - 6 - height, height, kind);
      if (!made) return;
      found.push(pointing(made, heading, lines, row));
      const label = text && caption(made, text);
      if (label) found.push(label);
    };
    for (const job of jobs) {
      if (jobTime(job, job.cycles) < view.from || jobTime(job, 0) > view.to) continue;
      const lines = () => [
        `job ${job.job}, ${job.unit} ${job.kind}: ${seconds(job.seconds)}, bound by ${job.bound}`,
        job.shape,
        `cycles: memory ${job.cycles_memory}, coefficients ${job.cycles_coefficients}, ` +
          `TP ${job.cycles_tp}, start-up ${job.cycles_start_up}`,
        `${bytes(job.bytes)} moved, ${job.tiles} tiles, ${job.superblocks} superblocks`,
      ];
      for (const each of jobSpans(job)) put(job.row, title(operators[job.row]), lines, ...each);
    }
    for (const each of segments.filter((s) => s.on === "CPU" && s.end > s.start)) {
      const row = operators[each.number];
      put(row.row, title(row), () => details(row), 4, each.start, each.end, "of-CPU", title(row));
    }
    return found;
  }

  function legend(entries) {
    const made = element("div", { class: "legend" });
    for (const [kind, text] of entries) {
      made.append(element("span", {}, element("span", { class: `swatch of-${kind}` }), text));
    }
    return made;
  }

  function timeline() {
    const label = "Time line of the units";
    const svg = timeDrawing("timeline-drawing", label, TRACKS.length * TRACK + 18, drawTimeline);
    const hint = "wheel or + − zooms, dragging or ← → moves, 0 shows all; click an operator to find it below";
    const entries = ["memory", "coefficients", "TP", "start-up"].map((name) => [name, `bound by ${name}`]);
    entries[3][1] = "start-up";
    entries.push(["working", "multipliers at work"]);
    if (operators.some((row) => row.on === "CPU")) entries.push(["CPU", "CPU (measured)"]);
    return section("timeline", "Time line", hint, zoomButtons(), svg, legend(entries));
  }

  // --------------------------------------------------------------------------------- on-chip SRAM

  function nothingOnChip() {
    const times = totals.coefficients_stored ? totals.bytes_coefficients / totals.coefficients_stored : 0;
    return (
      "Nothing is kept on chip: as far as recordings show, the driver of this chip keeps nothing there. " +
      `So coefficients are read ${digits(times, 1)} times, once for each tile.`
    );
  }

  function sram() {
    const height = 190;
    const bottom = height - 18;
    const y = (address) => bottom - (address / limits.sram_bytes) * (bottom - 6);
    const svg = timeDrawing("sram-drawing", "On-chip SRAM over time", height, (x, width) => {
      const found = ticks(0, limits.sram_bytes / 1024, 4).flatMap((at) => [
        drawn("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(at * 1024), y2: y(at * 1024) }),
        drawn("text", { class: "faint", x: LEFT - 6, y: y(at * 1024) + 4, "text-anchor": "end" }, `${at} KiB`),
      ]);
      for (const job of jobs) {
        for (const [name, range] of [["kernels", job.sram_kernels], ["image", job.sram_image]]) {
          if (!range || range[1] <= range[0]) continue;
          const top = y(Math.min(range[1], limits.sram_bytes));
          const made = span(x, width, jobTime(job, 0), jobTime(job, job.cycles), top,
            Math.max(y(range[0]) - top, 1), `of-${name}`);
          if (!made) continue;
          const lines = () => [
            `job ${job.job}: ${name}, ${bytes(range[1] - range[0])}`,
            `0x${range[0].toString(16)} to 0x${range[1].toString(16)}`,
          ];
          found.push(pointing(made, title(operators[job.row]), lines, job.row));
        }
      }
      return found;
    });
    const hint = `${bytes(limits.sram_bytes)}; what an operator keeps there while it runs`;
    const entries = legend([["kernels", "kernels"], ["image", "input image"]]);
    const used = jobs.some((job) => job.sram_kernels || job.sram_image);
    const body = used ? [svg, entries] : [element("p", { class: "empty" }, nothingOnChip())];
    return section("sram", "On-chip SRAM over time", hint, null, ...body);
  }

  // ------------------------------------------------------------------------------ tensors in memory

  // Where tensors lie and how long; the buffers of a part one above the other.
  function tensors() {
    const known = parts.filter((part) => part.memory && part.memory.regions.length);
    if (!known.length) return "";
    const largest = Math.max(...known.map((part) => part.memory.bytes));
    const height = 190;
    const bottom = height - 18;
    const y = (address) => bottom - (address / largest) * (bottom - 6);
    const svg = timeDrawing("tensors-drawing", "Tensors in memory over time", height, (x, width) => {
      const found = ticks(0, largest / 1024, 4).flatMap((at) => [
        drawn("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(at * 1024), y2: y(at * 1024) }),
        drawn("text", { class: "faint", x: LEFT - 6, y: y(at * 1024) + 4, "text-anchor": "end" }, bytes(at * 1024)),
      ]);
      for (const region of known.flatMap((part) => part.memory.regions)) {
        const [first, last] = [jobs[region.first_job], jobs[region.last_job]];
        const top = y(region.start + region.bytes);
        const made = span(x, width, jobTime(first, 0), jobTime(last, last.cycles), top,
          Math.max(y(region.start) - top - 1, 1), "of-image");
        if (!made) continue;
        const lines = () => [
          `${bytes(region.bytes)} at ${bytes(region.start)}`,
          `from job ${first.job} to job ${last.job}`,
        ];
        found.push(pointing(made, title(operators[first.row]), lines, first.row));
      }
      return found;
    });
    const sum = (key) => known.reduce((total, part) => total + part.memory[key], 0);
    const hint = `${bytes(sum("bytes"))}; a buffer for each tensor would be ${bytes(sum("bytes_apart"))}`;
    return section("tensors", "Tensors in memory over time", hint, null, svg);
  }

  // ------------------------------------------------------------------------------------ operators

  const TIPS = {
    row: "Number of the operator in the model",
    kind: "What TFLite calls it",
    on: "Who runs it",
    seconds: "NPU: modelled; CPU: measured",
    share: "Of the NPU's time",
    cycles: "Of the NPU's clock, start-up included",
    bound: "What takes longest of its jobs: memory, coefficients, TP or start-up",
    macs_useful: "Useful multiplications: those whose weight is not zero",
    macs_dense: "Multiplications of the jobs, zeros included",
    utilisation: "Useful multiplications as a share of what all multipliers could do in that time",
    bytes: "Bytes over the bus, in and out",
    bytes_input: "Bytes read of images, again for each superblock unless they are on chip",
    bytes_output: "Bytes written",
    bytes_coefficients: "Bytes read of coefficients, again for each tile unless they are on chip",
    bandwidth: "Bytes moved by time",
    tiles: "Rectangles of the output, one after another",
    superblocks: "Kernels in so many rounds; for each the image is read again",
    sram_kernels: "On-chip memory for kernels",
    sram_image: "On-chip memory for the image",
    compression: "Weights for each byte of coefficients",
    name: "Tensor that it makes",
  };

  const COLUMNS = [
    ["#", "row", (r) => (r.operators.length ? String(r.operators[0]) : String(r.row))],
    ["Operator", "kind", (r) => r.kind, "kind left"],
    ["On", "on", (r) => r.on, "left"],
    ["Time", "seconds", (r) => (r.seconds === null ? "–" : seconds(r.seconds))],
    ["Share", "share", (r) => percent(r.share), "share"],
    ["Cycles", "cycles", (r) => r.cycles.toLocaleString("en"), "npu"],
    ["Bound by", "bound", (r) => r.bound || "", "left"],
    ["MACs", "macs_useful", (r) => scaled(r.macs_useful, ""), "npu"],
    ["Dense", "macs_dense", (r) => scaled(r.macs_dense, ""), "npu"],
    ["Util.", "utilisation", (r) => percent(r.utilisation), "npu"],
    ["Moved", "bytes", (r) => bytes(r.bytes), "npu"],
    ["Input", "bytes_input", (r) => bytes(r.bytes_input), "npu"],
    ["Output", "bytes_output", (r) => bytes(r.bytes_output), "npu"],
    ["Weights", "bytes_coefficients", (r) => bytes(r.bytes_coefficients), "npu"],
    ["GB/s", "bandwidth", (r) => digits(r.bandwidth / 1e9, 2), "npu"],
    ["Tiles", "tiles", (r) => String(r.tiles), "npu"],
    ["Blocks", "superblocks", (r) => String(r.superblocks), "npu"],
    ["SRAM kernels", "sram_kernels", (r) => bytes(r.sram_kernels), "npu"],
    ["SRAM image", "sram_image", (r) => bytes(r.sram_image), "npu"],
    ["Packed", "compression", (r) => digits(r.compression, 2), "npu"],
    ["Output tensor", "name", (r) => r.name, "name left"],
  ];

  function cell(row, [, key, text, kind = ""]) {
    const shown = kind === "npu" && row.on === "CPU" ? "" : text(row);
    const made = element("td", kind && kind !== "npu" ? { class: kind } : {}, shown);
    if (key === "name" || key === "kind") made.title = shown;
    if (key === "bound" && row.bound) made.prepend(element("span", { class: `swatch of-${row.bound}` }));
    if (key === "share" && row.share !== null) {
      const inner = element("span", { class: colour(row) });
      inner.style.width = `${100 * Math.min(row.share / largestShare, 1)}%`;
      made.append(element("span", { class: "track" }, inner));
    }
    return made;
  }

  const largestShare = Math.max(...operators.map((row) => row.share || 0), 1e-9);

  function compare(key) {
    return (a, b) => {
      const [one, other] = [a[key], b[key]];
      if (one === null || other === null) return (one === null) - (other === null);
      return typeof one === "string" ? one.localeCompare(other) : one - other;
    };
  }

  function table() {
    const sort = { key: "row", down: false };
    const body = element("tbody");
    const filter = element("input", {
      type: "search", id: "filter", placeholder: "Filter: kind, tensor, bound …",
      "aria-label": "Filter operators",
    });
    const counted = element("span", { class: "hint", id: "counted" });
    const heads = COLUMNS.map(([text, key, , kind = ""]) => {
      const button = element("button", { type: "button", "data-key": key, title: TIPS[key] }, text);
      button.addEventListener("click", () => {
        const same = sort.key === key;
        const numbers = key !== "row" && typeof operators[0]?.[key] !== "string";
        sort.down = same ? !sort.down : numbers;
        sort.key = key;
        show();
      });
      return element("th", { class: kind.includes("left") ? "left" : "", scope: "col" }, button);
    });

    function show() {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = operators.filter((row) => {
        const text = [`#${row.operators[0]}`, row.kind, row.on, row.name, row.bound, row.shape].join(" ").toLowerCase();
        return words.every((word) => text.includes(word));
      });
      const order = compare(sort.key);
      found.sort((a, b) => {
        const missing = (a[sort.key] === null) - (b[sort.key] === null);
        return missing || (sort.down ? -order(a, b) : order(a, b)) || a.row - b.row;
      });
      body.replaceChildren(...found.map((row) => {
        const made = element("tr", {}, ...COLUMNS.map((column) => cell(row, column)));
        made.dataset.row = row.row;
        made.addEventListener("click", () => choose(row.row));
        return made;
      }));
      heads.forEach((head, i) => {
        if (COLUMNS[i][1] === sort.key) head.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      const time = found.reduce((sum, row) => sum + (row.on === "NPU" ? row.seconds : 0), 0);
      counted.textContent = `${found.length} of ${operators.length} rows, ${seconds(time)} on the NPU`;
      mark();
    }

    filter.addEventListener("input", show);
    const made = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body);
    const box = section("operators", "Operators", "", filter,
      element("div", { class: "scroll wide", tabindex: 0, role: "region", "aria-label": "Operator table" }, made));
    box.querySelector(".hint").replaceWith(counted);
    show();
    return box;
  }

  // ------------------------------------------------------------------------------------- roofline

  function roofline() {
    const points = operators.filter((row) => row.on === "NPU" && row.macs_useful > 0 && row.seconds > 0);
    const svg = drawn("svg", { id: "roofline-drawing", role: "img", "aria-label": "Roofline", height: 380 });
    const peak = limits.macs_per_cycle * limits.clock_hz;
    const bus = limits.bytes_per_cycle * limits.clock_hz;
    const intensity = (row) => row.macs_useful / row.bytes;
    const rate = (row) => row.macs_useful / row.seconds;
    const xs = points.map(intensity).concat(peak / bus);
    const ys = points.map(rate).concat(peak);
    const [x0, x1] = [Math.min(...xs) / 2, Math.max(...xs) * 2];
    const [y0, y1] = [Math.min(...ys) / 2, peak * 2];
    redraws.push(() => {
      const width = Math.max(svg.clientWidth, 200);
      const [left, bottom] = [52, 340];
      const along = (value, low, high) => Math.log(value / low) / Math.log(high / low);
      const x = (value) => left + along(value, x0, x1) * (width - left - 12);
      const y = (value) => bottom - along(value, y0, y1) * (bottom - 10);
      svg.replaceChildren(...rooflineAxes(x, y, [x0, x1, y0, y1], left, bottom, width));
      const corner = Math.max(peak / bus, x0);
      const low = Math.max(x0, y0 / bus);
      // Where the bus's line has room for its label on the left, above all points.
      const at = Math.max(low, x0 * (x1 / x0) ** (110 / (width - left)));
      svg.append(
        drawn("polyline", { class: "roof", points: `${x(low)},${y(bus * low)} ${x(corner)},${y(peak)} ${x(x1)},${y(peak)}` }),
        drawn("text", { x: width - 14, y: y(peak) - 6, "text-anchor": "end" }, `peak ${scaled(peak, "MAC/s")}`),
        drawn("text", { x: x(at) - 8, y: y(bus * at) - 4, "text-anchor": "end" }, `bus ${digits(bus / 1e9, 2)} GB/s`),
      );
      for (const row of [...points].sort((a, b) => b.share - a.share)) {
        const r = 4 + 9 * Math.sqrt(row.share / largestShare);
        const dot = drawn("circle", { class: `dot ${colour(row)}`, cx: x(intensity(row)), cy: y(rate(row)), r });
        const lines = () => [`${digits(intensity(row), 1)} MAC/byte, ${scaled(rate(row), "MAC/s")}`, ...details(row)];
        svg.append(pointing(dot, title(row), lines, row.row));
      }
      mark();
    });
    const hint = "useful MACs; size is time, colour what it waits for";
    return section("roofline", "Roofline", hint, null, svg);
  }

  function rooflineAxes(x, y, [x0, x1, y0, y1], left, bottom, width) {
    const found = [];
    const powers = (low, high) => {
      const list = [];
      for (let n = Math.ceil(Math.log10(low)); n <= Math.log10(high); n += 1) list.push(10 ** n);
      return list;
    };
    for (const at of powers(x0, x1)) {
      found.push(drawn("line", { class: "grid", x1: x(at), x2: x(at), y1: 8, y2: bottom }));
      const text = at >= 1 ? digits(at, 0) : String(Number(at.toPrecision(1)));
      found.push(drawn("text", { class: "faint", x: x(at), y: bottom + 15, "text-anchor": "middle" }, text));
    }
    for (const at of powers(y0, y1)) {
      found.push(drawn("line", { class: "grid", x1: left, x2: width - 10, y1: y(at), y2: y(at) }));
      found.push(drawn("text", { class: "faint", x: left - 6, y: y(at) + 4, "text-anchor": "end" }, scaled(at, "")));
    }
    found.push(drawn("text", { class: "faint", x: 0, y: 12 }, "MAC/s"));
    const middle = (left + width) / 2;
    found.push(drawn("text", { class: "faint", x: middle, y: bottom + 33, "text-anchor": "middle" }, "MACs for each byte moved"));
    return found;
  }

  // ---------------------------------------------------------------------------------------- graph

  // Each operator one level below the lowest of those it reads.
  function levels() {
    const level = operators.map(() => 0);
    const sorted = [...edges].sort((a, b) => a[1] - b[1] || a[0] - b[0]);
    for (const [before, after] of sorted) level[after] = Math.max(level[after], level[before] + 1);
    return level;
  }

  function graph() {
    const [boxHeight, step] = [30, 46];
    const level = levels();
    const layers = [];
    level.forEach((at, row) => (layers[at] = layers[at] || []).push(row));
    const height = layers.length * step + 6;
    const svg = drawn("svg", { id: "graph-drawing", role: "img", "aria-label": "Graph, coloured by time", height });
    redraws.push(() => {
      const most = Math.max(...layers.map((layer) => layer.length), 1);
      const room = Math.max(svg.parentElement.clientWidth - 2, 200);
      const full = Math.max(room, most * 106 + 8);
      svg.style.width = `${full}px`;
      const place = [];
      layers.forEach((layer, at) => {
        const width = Math.min(Math.max((room - 80) / layer.length - 10, 96), 300);
        layer.forEach((row, i) => {
          const x = full / 2 + (i - (layer.length - 1) / 2) * (width + 10);
          place[row] = { x, y: at * step + 4, width };
        });
      });
      svg.replaceChildren(
        ...edges.map(([a, b]) => edgeLine(place[a], place[b], boxHeight, level[b] - level[a])),
        ...operators.map((row) => graphNode(row, place[row.row], boxHeight)),
      );
      mark();
    });
    const box = element("div", { class: "scroll wide", tabindex: 0, role: "region", "aria-label": "Graph" }, svg);
    return section("graph", "Graph by time", "the redder, the more of the NPU's time", null, box);
  }

  function edgeLine(from, to, height, skipped) {
    const [y0, y1] = [from.y + height, to.y];
    // An edge past other levels swings out of their boxes' way.
    const out = skipped > 1 ? 8 + Math.min(skipped, 8) * 3 : 0;
    if (!out) return drawn("path", { class: "edge", d: `M${from.x},${y0} C${from.x},${(y0 + y1) / 2} ${to.x},${(y0 + y1) / 2} ${to.x},${y1}` });
    const x = Math.max(from.x + from.width / 2, to.x + to.width / 2) + out;
    return drawn("path", { class: "edge", d: `M${from.x},${y0} C${from.x},${y0 + 14} ${x},${y0} ${x},${y0 + 24} L${x},${y1 - 24} C${x},${y1} ${to.x},${y1 - 14} ${to.x},${y1}` });
  }

  function graphNode(row, { x, y, width }, height) {
    const box = drawn("rect", { x: x - width / 2, y, width, height, rx: 5 });
    if (row.on === "CPU") box.setAttribute("class", "of-CPU");
    else box.style.fill = `color-mix(in oklab, var(--heat) ${Math.round(80 * ((row.share || 0) / largestShare))}%, var(--panel))`;
    const time = seconds(row.seconds);
    const room = Math.max(Math.floor((width - 14) / 7.4) - (width > 190 ? time.length + 1 : 0), 6);
    const name = title(row);
    const short = name.length > room ? `${name.slice(0, room - 1)}…` : name;
    const kind = row.on === "CPU" ? { class: "on-colour" } : {};
    const made = drawn("g", { class: "node" }, box, drawn("text", { ...kind, x: x - width / 2 + 7, y: y + 19 }, short));
    if (width > 190) {
      made.append(drawn("text", { ...kind, x: x + width / 2 - 7, y: y + 19, "text-anchor": "end" }, row.seconds === null ? "–" : time));
    }
    return pointing(made, name, () => details(row), row.row);
  }

  // ------------------------------------------------------------------------------------- the page

  // -------------------------------------------------------------------------------------- what if

  const TERMS = jobs.map((job) => ({ ...job }));
  const CLOCK = limits.clock_hz;
  const SWITCHES = [
    ["bus", "Bus", "bytes a second beyond the on-chip memory"],
    ["chip", "On-chip memory", "bytes a cycle read of images that are kept there"],
    ["clock", "Clock", "of cores, TPs and on-chip memory; the bus stays as fast"],
    ["startUp", "Start-up", "before a job begins"],
  ];

  // The same arithmetic as the timing model's, from the same terms.
  function recomputed(factors) {
    const bus = (limits.bytes_per_cycle * factors.bus) / factors.clock;
    const chip = limits.on_chip_bytes_per_cycle * factors.chip;
    const spent = {};
    let part = null;
    let clock = 0;
    TERMS.forEach((term, i) => {
      const job = jobs[i];
      const memory = Math.ceil(Math.max(term.bytes / bus, term.bytes_on_chip / chip));
      const startUp = Math.ceil(term.cycles_start_up * factors.startUp * factors.clock);
      const longest = Math.max(memory, term.cycles_coefficients, term.cycles_tp);
      if (job.part !== part) [part, clock] = [job.part, 0];
      Object.assign(job, { cycles_memory: memory, cycles_start_up: startUp, start_cycles: clock });
      job.cycles = startUp + longest;
      const terms = [["memory", memory], ["coefficients", term.cycles_coefficients],
        ["TP", term.cycles_tp], ["start-up", startUp]];
      job.bound = terms.reduce((best, each) => (each[1] > best[1] ? each : best))[0];
      clock += job.cycles;
      spent[job.bound] = (spent[job.bound] || 0) + job.cycles;
    });
    limits.clock_hz = CLOCK * factors.clock;
    for (const job of jobs) job.seconds = job.cycles / limits.clock_hz;
    return spent;
  }

  // Parts and what the CPU does between them, one behind the other again.
  function laidOut() {
    let now = 0;
    for (const each of segments) {
      const length = each.on === "NPU"
        ? jobs.filter((job) => job.part === each.number).reduce((sum, job) => sum + job.seconds, 0)
        : each.end - each.start;
      [each.start, each.end] = [now, now + length];
      if (each.on === "NPU") start[each.number] = now;
      now += length;
    }
    total = Math.max(now, 1e-9);
    setView(0, total);
  }

  function whatIf() {
    const told = element("p", { class: "empty", role: "status", id: "what-if-result" });
    const chosen = {};
    const show = () => {
      const factors = Object.fromEntries(
        Object.entries(chosen).map(([key, select]) => [key, Number(select.value)]));
      const spent = recomputed(factors);
      laidOut();
      const then = jobs.reduce((sum, job) => sum + job.seconds, 0);
      const change = totals.npu_seconds ? then / totals.npu_seconds - 1 : 0;
      const bound = Object.entries(spent).sort((a, b) => b[1] - a[1])[0];
      const same = Object.values(factors).every((factor) => factor === 1);
      told.dataset.seconds = then;
      told.textContent = same
        ? "As profiled. The time line above follows; the table and the figures at the top stay."
        : `Then ${seconds(then)} on the NPU instead of ${seconds(totals.npu_seconds)} ` +
          `(${change > 0 ? "+" : ""}${digits(100 * change, 0)} %), mostly waiting for ${bound ? bound[0] : "nothing"}.`;
    };
    const controls = SWITCHES.map(([key, name, meaning]) => {
      const select = element("select", { name: key, "aria-label": `${name}: ${meaning}` });
      for (const factor of key === "startUp" ? [0, 0.5, 1, 2] : [0.5, 0.75, 1, 1.5, 2, 4]) {
        const option = element("option", { value: factor }, `× ${factor}`);
        if (factor === 1) option.setAttribute("selected", "");
        select.append(option);
      }
      select.addEventListener("change", show);
      chosen[key] = select;
      return element("label", { title: meaning }, name, select);
    });
    told.textContent = "As profiled. The time line above follows; the table and the figures at the top stay.";
    const hint = "what the time line would be, from the same cost terms";
    return section("what-if", "What if", hint, null, ...controls, told);
  }

  const facts = [profile.chip, `${digits(limits.clock_hz / 1e6, 0)} MHz`, `schedule ${profile.schedule}`, profile.device];
  document.getElementById("page").append(
    element("h1", {}, profile.model),
    element("p", { class: "subtitle" }, facts.join(" · ")),
    element("p", { class: "answer" }, profile.answer),
    cards(),
    element("ul", { class: "notes" }, ...profile.notes.map((note) => element("li", {}, note))),
    bounds(),
    timeline(),
    whatIf(),
    sram(),
    tensors(),
    table(),
    element("div", { class: "pair" }, roofline(), graph()),
    tip,
  );
  const redrawAll = () => redraws.forEach((redraw) => redraw());
  redrawAll();
  let waiting = null;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(redrawAll, 60);
  });
})();
