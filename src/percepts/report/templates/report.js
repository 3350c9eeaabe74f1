"use strict";
(() => {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const number = (value) => {
    if (value === null || value === undefined) return "n/a";
    const text = Math.abs(value) >= 1e4 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));
    return text.replace("-", "−");
  };

  // Traversals: a canvas shows one frame of the strip (even numbers) or of the frames between them (odd numbers).
  const rows = [...document.querySelectorAll(".latent")].filter((row) => row.querySelector("input")).map((row) => {
    const one = { row, slider: row.querySelector("input"), canvas: row.querySelector("canvas"), strip: row.querySelector(".strip"),
      between: row.querySelector(".between"), frames: Number(row.dataset.frames), held: false, seen: true, drawn: -1 };
    one.pen = one.canvas.getContext("2d");
    return one;
  });
  const draw = (one) => {
    const place = (Number(one.slider.value) + 3) / 6 * (one.frames - 1);
    const frame = one.between ? Math.round(2 * place) : 2 * Math.round(place);
    if (frame === one.drawn) return;
    const source = frame % 2 ? one.between : one.strip, { width, height } = one.canvas;
    if (!source.complete || !source.naturalWidth) return;
    const step = (one.strip.naturalWidth - width) / (one.frames - 1);
    one.pen.clearRect(0, 0, width, height);
    one.pen.drawImage(source, Math.floor(frame / 2) * step, 0, width, height, 0, 0, width, height);
    one.drawn = frame;
    one.canvas.dataset.frame = frame;
  };
  for (const one of rows) {
    const film = one.strip.parentElement;
    one.slider.addEventListener("input", () => { one.held = true; draw(one); });
    film.addEventListener("pointermove", (event) => {
      if (event.target === one.slider) { one.held = true; return; }
      const box = one.strip.getBoundingClientRect();
      const place = ((event.clientX - box.left) / box.width * one.frames - 0.5) / (one.frames - 1);
      one.held = true;
      one.slider.value = Math.min(Math.max(place * 6 - 3, -3), 3);
      draw(one);
    });
    film.addEventListener("pointerleave", () => { if (document.activeElement !== one.slider) one.held = false; });
    one.slider.addEventListener("blur", () => { one.held = false; });
    for (const image of [one.strip, one.between]) if (image && !image.complete) image.addEventListener("load", () => draw(one));
    draw(one);
  }
  const button = document.getElementById("play");
  let playing = !still && rows.length > 0, clock = 0, before = null;
  const tick = (now) => {
    if (!playing) { before = null; return; }
    clock += before === null ? 0 : Math.min(now - before, 100);
    before = now;
    for (const one of rows) {
      if (one.held || !one.seen) continue;
      one.slider.value = 3 * Math.sin(clock / 7000 * 2 * Math.PI);
      draw(one);
    }
    requestAnimationFrame(tick);
  };
  const play = (on) => {
    playing = on;
    if (button) { button.textContent = on ? "Pause" : "Play"; button.setAttribute("aria-pressed", String(on)); }
    if (on) requestAnimationFrame(tick);
  };
  if (button) button.addEventListener("click", () => play(!playing));
  if ("IntersectionObserver" in window) {
    const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
      rows.find((one) => one.row === entry.target).seen = entry.isIntersecting;
    }));
    rows.forEach((one) => watcher.observe(one.row));
  }
  play(playing);

  // One read-out for all charts.
  const tip = document.getElementById("tip");
  const show = (x, y) => {
    tip.hidden = false;
    const wide = document.documentElement.clientWidth, box = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(x + 14, wide - box.width - 8)) + "px";
    tip.style.top = (y + 14 + window.scrollY) + "px";
  };
  const hide = () => { tip.hidden = true; document.querySelectorAll(".cursor, .spot").forEach((mark) => mark.remove()); };
  const add = (parent, name, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
  };
  const line = (left, right, classes) => {
    const row = document.createElement("div");
    if (classes) { const swatch = document.createElement("i"); swatch.className = "swatch " + classes; row.append(swatch); }
    for (const words of [left, right]) { const span = document.createElement("span"); span.textContent = words; row.append(span); }
    tip.append(row);
  };
  document.querySelectorAll("svg.chart").forEach((svg) => {
    const plot = JSON.parse(svg.dataset.plot);
    const along = (axis, value) => axis[2] + (value - axis[0]) / (axis[1] - axis[0]) * (axis[3] - axis[2]);
    let chosen = -1;
    const longest = plot.lines.reduce((best, one) => (one.x.length > best.x.length ? one : best));
    const read = (index, client) => {
      hide();
      tip.textContent = "";
      chosen = index;
      const x = longest.x[index];
      if (plot.mode === "xy") {
        line("step", number(plot.marks[index]));
        line(plot.labels[0], number(x)); line(plot.labels[1], number(longest.y[index]));
        add(svg, "circle", { class: "spot s1", r: 5, cx: along(plot.x, x), cy: along(plot.y, longest.y[index]) });
      } else {
        line(plot.labels[0], number(x));
        add(svg, "line", { class: "cursor", x1: along(plot.x, x), x2: along(plot.x, x), y1: plot.y[2], y2: plot.y[3] });
        const values = plot.lines.map((one) => [one, one.y[one.x.reduce((best, value, at) =>
          (Math.abs(value - x) < Math.abs(one.x[best] - x) ? at : best), 0)]]);
        values.sort((a, b) => (b[1] ?? -Infinity) - (a[1] ?? -Infinity));
        for (const [one, value] of values.slice(0, 12)) {
          line(one.name, number(value), one.classes);
          if (value !== null && value >= plot.y[0] && value <= plot.y[1])
            add(svg, "circle", { class: "spot " + one.classes, r: 3.5, cx: along(plot.x, x), cy: along(plot.y, value) });
        }
      }
      const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
      show(client ? client.x : box.left + along(plot.x, x) * scale, client ? client.y : box.top + 20);
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
      const px = (event.clientX - box.left) * scale, py = (event.clientY - box.top) * scale;
      let best = 0, least = Infinity;
      longest.x.forEach((value, index) => {
        const dx = along(plot.x, value) - px, dy = plot.mode === "xy" ? along(plot.y, longest.y[index]) - py : 0;
        if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = index; }
      });
      read(best, { x: event.clientX, y: event.clientY });
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!move) return;
      event.preventDefault();
      read(Math.min(Math.max(chosen + move * Math.max(1, Math.round(longest.x.length / 60)), 0), longest.x.length - 1));
    });
  });
  document.querySelectorAll("[data-tip]").forEach((node) => {
    node.addEventListener("pointermove", (event) => { tip.textContent = node.dataset.tip; show(event.clientX, event.clientY); });
    node.addEventListener("pointerleave", hide);
  });

  const errors = document.getElementById("errors");
  if (errors) errors.addEventListener("change", () => document.querySelector("main").classList.toggle("errors", errors.checked));
  document.querySelectorAll("[data-copy]").forEach((one) => one.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(document.getElementById(one.dataset.copy).textContent); one.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(document.getElementById(one.dataset.copy)); one.textContent = "Selected"; }
  }));
  const links = new Map([...document.querySelectorAll(".contents li a")].map((link) => [link.hash.slice(1), link]));
  if ("IntersectionObserver" in window) {
    const reader = new IntersectionObserver((entries) => entries.forEach((entry) => {
      if (!entry.isIntersecting) return;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }), { rootMargin: "-10% 0px -80% 0px" });
    document.querySelectorAll("main > section").forEach((section) => reader.observe(section));
  }
})();
