"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const envelope = bytes(data.envelope);
  const audio = new Audio(URL.createObjectURL(new Blob([bytes(data.audio)], { type: "audio/mpeg" })));
  data.audio = data.envelope = null;
  audio.preload = "auto";

  const RULER = 24, WAVE = 72, GAP = 8, LANE = 36, BAR = 20;
  const canvas = byId("canvas"), overview = byId("overview"), timeline = byId("timeline"), tip = byId("tip");
  const duration = Math.max(data.duration, 0.1);
  const view = { from: 0, to: duration };
  const buttons = [...document.querySelectorAll("[data-turn]")];
  const laneMarks = [...document.querySelectorAll("[data-lane]")];
  const list = byId("turns");
  let position = 0, hover = null, colours = {}, speakingNow = null, currentTurn = -1;

  const clock = (seconds, decimals = 1) => {
    const scaled = Math.round(seconds * 10 ** decimals), unit = 10 ** decimals;
    const whole = Math.floor(scaled / unit), two = (number) => String(number).padStart(2, "0");
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    const tail = decimals ? "." + String(scaled % unit).padStart(decimals, "0") : "";
    return (hours ? hours + ":" + two(minutes) : minutes) + ":" + two(whole % 60) + tail;
  };
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  /* Turns are in order of their start; the region that holds a moment is found by halving. */
  const regionAt = (seconds) => {
    let low = 0, high = data.regions.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1, region = data.regions[middle];
      if (seconds < region[0]) high = middle - 1;
      else if (seconds >= region[1]) low = middle + 1;
      else return region;
    }
    return null;
  };

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    colours = {};
    for (const name of ["line", "lane", "ink", "soft", "faint", "card", "head", "overlap", "unknown"]) {
      colours[name] = style.getPropertyValue("--" + name).trim();
    }
    colours.voices = data.speakers.map((speaker) => style.getPropertyValue("--" + speaker.colour).trim());
  }

  function prepare(target, height) {
    const width = target.clientWidth, ratio = window.devicePixelRatio || 1;
    if (target.width !== Math.round(width * ratio) || target.height !== Math.round(height * ratio)) {
      target.width = Math.round(width * ratio);
      target.height = Math.round(height * ratio);
      target.style.height = height + "px";
    }
    const pen = target.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return [pen, width];
  }

  function draw() {
    const height = RULER + WAVE + GAP + Math.max(1, data.speakers.length) * LANE;
    const [pen, width] = prepare(canvas, height);
    const span = view.to - view.from, x = (seconds) => (seconds - view.from) / span * width;
    drawRuler(pen, width, x, height);
    data.speakers.forEach((_, lane) => {
      pen.fillStyle = colours.lane;
      pen.beginPath();
      pen.roundRect(0, laneTop(lane) + (LANE - BAR) / 2, width, BAR, 6);
      pen.fill();
    });
    const seen = data.regions.filter((region) => region[1] > view.from && region[0] < view.to);
    for (const region of seen) {
      if (region.length < 4) continue;
      pen.fillStyle = colours.overlap;
      pen.fillRect(x(region[0]), RULER, Math.max(1, x(region[1]) - x(region[0])), height - RULER);
    }
    drawWave(pen, width, seen, x);
    for (const [lane, from, to] of data.turns) {
      if (to < view.from || from > view.to) continue;
      pen.fillStyle = colours.voices[lane];
      pen.beginPath();
      pen.roundRect(x(from), laneTop(lane) + (LANE - BAR) / 2, Math.max(2, x(to) - x(from)), BAR, 5);
      pen.fill();
    }
    const at = x(position);
    if (at >= 0 && at <= width) {
      pen.fillStyle = colours.head;
      pen.fillRect(at - 0.75, RULER - 8, 1.5, height - RULER + 8);
      pen.beginPath();
      pen.arc(clamp(at, 5, width - 5), RULER - 9, 5, 0, 2 * Math.PI);
      pen.fill();
    }
    if (hover !== null) {
      pen.fillStyle = colours.faint;
      pen.fillRect(x(hover), RULER, 1, height - RULER);
    }
    drawOverview();
  }

  const laneTop = (lane) => RULER + WAVE + GAP + lane * LANE;

  function drawRuler(pen, width, x, height) {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
    const wanted = (view.to - view.from) / Math.max(2, width / 90);
    const step = steps.find((candidate) => candidate >= wanted) || 7200;
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (let mark = Math.ceil(view.from / step) * step; mark <= view.to + 1e-6; mark += step) {
      const at = x(mark), text = clock(mark, step < 1 ? 1 : 0), half = pen.measureText(text).width / 2;
      pen.fillStyle = colours.faint;
      pen.fillText(text, clamp(at - half, 0, width - 2 * half), 6);
      pen.fillStyle = colours.line;
      pen.fillRect(at, RULER - 4, 1, height - RULER + 4);
    }
  }

  /* The first voice colours the upper half, the second the lower one, so that overlap is seen. */
  function drawWave(pen, width, regions, x) {
    const middle = RULER + WAVE / 2, perPixel = (view.to - view.from) / width, step = 3;
    let next = 0;
    for (let left = 0; left < width; left += step) {
      const from = view.from + left * perPixel, to = from + step * perPixel, centre = (from + to) / 2;
      const first = Math.floor(from * data.envelopeHertz);
      const last = Math.max(first + 1, Math.ceil(to * data.envelopeHertz));
      let peak = 0;
      for (let index = first; index < last && index < envelope.length; index++) peak = Math.max(peak, envelope[index]);
      const half = Math.max(1, Math.pow(peak / 255, 0.7) * (WAVE / 2 - 4));
      while (next < regions.length && regions[next][1] <= centre) next++;
      const region = next < regions.length && regions[next][0] <= centre ? regions[next] : null;
      const upper = region ? colours.voices[region[2]] : colours.line;
      pen.fillStyle = upper;
      pen.beginPath();
      pen.roundRect(left, middle - half, 2, half, [1, 1, 0, 0]);
      pen.fill();
      pen.fillStyle = region && region.length > 3 ? colours.voices[region[3]] : upper;
      pen.beginPath();
      pen.roundRect(left, middle, 2, half, [0, 0, 1, 1]);
      pen.fill();
    }
  }

  function drawOverview() {
    overview.hidden = view.to - view.from >= duration - 1e-6;
    if (overview.hidden) return;
    const [pen, width] = prepare(overview, 22);
    pen.fillStyle = colours.lane;
    pen.fillRect(0, 0, width, 22);
    for (const region of data.regions) {
      pen.fillStyle = colours.voices[region[2]];
      pen.fillRect(region[0] / duration * width, 7, Math.max(1, (region[1] - region[0]) / duration * width), 8);
    }
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.roundRect(view.from / duration * width + 1, 1, Math.max(4, (view.to - view.from) / duration * width - 2), 20, 5);
    pen.stroke();
  }

  function show() {
    byId("now").textContent = clock(position);
    timeline.setAttribute("aria-valuenow", position.toFixed(1));
    const region = regionAt(position), speaking = region ? region.slice(2) : [];
    const names = speaking.map((lane) => data.speakers[lane].name);
    timeline.setAttribute("aria-valuetext", clock(position) + ", " + (names.join(" and ") || "nobody speaks"));
    const key = speaking.join();
    if (key !== speakingNow) {
      speakingNow = key;
      byId("speaking").replaceChildren(...speaking.map((lane) => {
        const chip = document.createElement("span"), dot = document.createElement("i");
        chip.className = "chip " + data.speakers[lane].colour;
        chip.append(dot, data.speakers[lane].name);
        return chip;
      }));
      if (!speaking.length) byId("speaking").textContent = "nobody speaks";
      laneMarks.forEach((mark) => mark.classList.toggle("on", speaking.includes(Number(mark.dataset.lane))));
    }
    let turn = -1;
    for (let index = 0; index < data.turns.length && data.turns[index][1] <= position + 1e-3; index++) {
      if (data.turns[index][2] > position) turn = index;
    }
    if (turn !== currentTurn) {
      buttons[currentTurn]?.classList.remove("on");
      currentTurn = turn;
      const button = buttons[turn];
      if (button) {
        button.classList.add("on");
        const row = button.getBoundingClientRect(), box = list.getBoundingClientRect();
        if (row.top < box.top || row.bottom > box.bottom) list.scrollTop += row.top - box.top - 60;
      }
    }
    draw();
  }

  function setView(from, span) {
    const width = clamp(span, Math.min(1, duration), duration);
    view.from = clamp(from, 0, duration - width);
    view.to = view.from + width;
    draw();
  }
  function zoom(factor, about = clamp(position, view.from, view.to)) {
    const span = clamp((view.to - view.from) * factor, Math.min(1, duration), duration);
    setView(about - (about - view.from) / (view.to - view.from) * span, span);
  }
  function follow() {
    const span = view.to - view.from;
    if (position < view.from || position > view.to - 0.02 * span) setView(position - 0.1 * span, span);
  }
  function seek(seconds) {
    position = clamp(seconds, 0, duration);
    audio.currentTime = Math.min(position, audio.duration || position);
    follow();
    show();
  }
  const start = () => audio.play().catch(() => {}); // a pause that comes first is no error
  function play() {
    if (audio.paused) {
      if (position >= duration - 0.05) seek(0);
      start();
    } else audio.pause();
  }
  function step(direction) {
    const starts = data.turns.map((turn) => turn[1]);
    const target = direction > 0
      ? starts.find((start) => start > position + 0.05)
      : starts.filter((start) => start < position - 0.6).pop();
    if (target !== undefined) seek(target);
  }
  function run() {
    position = audio.currentTime;
    follow();
    show();
    if (!audio.paused) requestAnimationFrame(run);
  }

  const secondsAt = (event, target = canvas) => {
    const box = target.getBoundingClientRect();
    return clamp((event.clientX - box.left) / box.width, 0, 1);
  };
  const inView = (event) => view.from + secondsAt(event) * (view.to - view.from);

  audio.addEventListener("play", () => {
    byId("play-shape").setAttribute("d", "M7 5h4v14H7zM13 5h4v14h-4z");
    byId("play").setAttribute("aria-label", "Pause");
    run();
  });
  for (const event of ["pause", "ended"]) audio.addEventListener(event, () => {
    byId("play-shape").setAttribute("d", "M8 5v14l11-7z");
    byId("play").setAttribute("aria-label", "Play");
  });
  byId("play").addEventListener("click", play);
  byId("speed").addEventListener("change", (event) => { audio.playbackRate = Number(event.target.value); });
  byId("zoom-in").addEventListener("click", () => zoom(0.5));
  byId("zoom-out").addEventListener("click", () => zoom(2));
  byId("zoom-all").addEventListener("click", () => setView(0, duration));
  buttons.forEach((button) => button.addEventListener("click", (event) => {
    seek(data.turns[Number(button.dataset.turn)][1]);
    if (audio.paused) start();
    if (event.detail) timeline.focus({ preventScroll: true }); // by mouse: the next Space is a pause
  }));
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
    readColours();
    draw();
  });

  timeline.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    timeline.setPointerCapture(event.pointerId);
    seek(inView(event));
  });
  timeline.addEventListener("pointermove", (event) => {
    if (timeline.hasPointerCapture(event.pointerId)) seek(inView(event));
    const box = canvas.getBoundingClientRect();
    const lane = Math.floor((event.clientY - box.top - laneTop(0)) / LANE);
    hover = inView(event);
    const turn = data.turns.find((one) => one[0] === lane && one[1] <= hover && one[2] > hover);
    tip.textContent = turn
      ? data.speakers[lane].name + " · " + clock(turn[1]) + " to " + clock(turn[2])
      : clock(hover);
    tip.hidden = false;
    const left = clamp(event.clientX - box.left + 12, 0, box.width - tip.offsetWidth);
    tip.style.transform = "translate(" + left + "px," + (event.clientY - box.top + 14) + "px)";
    draw();
  });
  timeline.addEventListener("pointerleave", () => { hover = null; tip.hidden = true; draw(); });
  timeline.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(event.deltaY * 0.01), inView(event));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const span = view.to - view.from;
      setView(view.from + (event.deltaX || event.deltaY) / canvas.clientWidth * span, span);
    }
  }, { passive: false });
  const drag = (event) => {
    const span = view.to - view.from;
    setView(secondsAt(event, overview) * duration - span / 2, span);
  };
  overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); drag(event); });
  overview.addEventListener("pointermove", (event) => { if (overview.hasPointerCapture(event.pointerId)) drag(event); });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
    if (event.key === " " && event.target.closest("button")) return;
    const actions = {
      " ": play,
      ArrowLeft: () => seek(position - (event.shiftKey ? 1 : 5)),
      ArrowRight: () => seek(position + (event.shiftKey ? 1 : 5)),
      Home: () => seek(0), End: () => seek(duration),
      p: () => step(-1), n: () => step(1),
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => setView(0, duration),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action) { event.preventDefault(); action(); }
  });

  new ResizeObserver(draw).observe(timeline);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });
  /* report.html#t=95.5 opens at that moment. */
  function openAtHash() {
    const at = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
    if (at) seek(Number(at[1]));
  }
  window.addEventListener("hashchange", openAtHash);
  readColours();
  show();
  openAtHash();
})();
