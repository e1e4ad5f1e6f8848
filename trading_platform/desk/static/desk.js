// What pages of the desk do by themselves: hear of changes, load their middle again, draw the curve.
// Without it every page is complete as it was loaded.
(() => {
  "use strict";
  const body = document.body;

  // ---- one stream a browser: browsers open six connections to a host, and each stream would hold one
  const CHANNEL = "desk-changes";
  const channel = "BroadcastChannel" in window ? new BroadcastChannel(CHANNEL) : null;
  const pulse = document.getElementById("pulse");
  const word = document.getElementById("pulse-word");
  let source = null;

  function show(state) {
    if (!pulse) return;
    pulse.className = "pulse " + state;
    const text = state === "on" ? "live" : "not live";
    if (word.textContent !== text) word.textContent = text;
  }

  function concerns(runs) {
    const own = body.dataset.run;
    return !own || runs.includes(own) || runs.includes("trouble");
  }

  let stale = false; // a tab that nobody sees asks for nothing; it loads its middle again when it is shown
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && stale) changed(["trouble"]);
  });

  function changed(runs) {
    if (!concerns(runs)) return;
    stale = document.visibilityState === "hidden";
    if (stale) return;
    pulse.classList.add("beat");
    setTimeout(() => pulse.classList.remove("beat"), 500);
    body.dispatchEvent(new CustomEvent("desk-change", { bubbles: false }));
  }

  function tell(message) {
    if (channel) channel.postMessage(message);
    take(message);
  }

  function take(message) {
    if (message.state) show(message.state);
    if (message.runs) changed(message.runs);
  }

  function listen() {
    return new Promise((done) => {
      source = new EventSource(body.dataset.live);
      source.addEventListener("hello", () => tell({ state: "on", runs: ["trouble"] }));
      source.addEventListener("change", (event) => tell(JSON.parse(event.data)));
      source.onerror = () => {
        tell({ state: "off" });
        if (source.readyState === EventSource.CLOSED) setTimeout(() => done(), 5000);
      };
      window.addEventListener("pagehide", () => { source.close(); done(); }, { once: true });
    });
  }

  if (body.dataset.live && pulse) {
    if (channel) channel.onmessage = (event) => take(event.data);
    const lead = async () => { for (;;) { await listen(); if (document.visibilityState === "hidden") return; } };
    if (navigator.locks) {
      navigator.locks.request(CHANNEL, lead);
      navigator.locks.query().then((held) => { if ((held.held || []).some((lock) => lock.name === CHANNEL)) show("on"); });
    } else if (channel) lead(); else show("off");
    window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  }

  // ---- the curve
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let plot = null;
  let span = 252;

  function draw() {
    const frame = document.getElementById("curve");
    const text = document.getElementById("curve-data");
    if (!frame || !text || !window.uPlot) return;
    const data = JSON.parse(text.textContent);
    const from = span ? Math.max(0, data.days.length - span - 1) : 0;
    const days = data.days.slice(from).map((day) => Date.parse(day) / 1000);
    const rows = data.lines.map((line) => {
      const part = line.values.slice(from);
      const base = from ? part.find((value) => value !== null) : 0;
      return part.map((value) => value === null ? null : ((1 + value / 100) / (1 + (base || 0) / 100) - 1) * 100);
    });
    if (plot) plot.destroy();
    const width = frame.clientWidth;
    if (!width) return;
    const percent = (_, value) => value === null || value === undefined ? "" : value.toFixed(2) + " %";
    const axis = { stroke: css("--soft"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--grid") }, font: "12px system-ui, sans-serif" };
    const wide = days.length > 1 && days[days.length - 1] - days[0] > 400 * 86400;
    const words = new Intl.DateTimeFormat("en-GB", wide ? { month: "short", year: "numeric", timeZone: "UTC" } : { day: "numeric", month: "short", timeZone: "UTC" });
    plot = new uPlot({
      width, height: frame.clientHeight - (width < 560 ? 0 : 34), tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
      cursor: { y: false }, scales: { x: { time: true } },
      series: [{ label: "Day", value: "{YYYY}-{MM}-{DD}" }, ...data.lines.map((line, n) => ({ label: line.name, stroke: css("--" + line.colour), width: n ? 1.4 : 2.2, value: percent, spanGaps: true, points: { show: false } }))],
      axes: [{ ...axis, space: 80, incrs: [1, 2, 7, 14, 30, 61, 91, 182, 365, 730, 1826].map((days) => days * 86400), values: (_, ticks) => ticks.map((tick) => words.format(new Date(tick * 1000))) }, { ...axis, size: 54, values: (_, ticks) => ticks.map((tick) => tick + " %") }],
    }, [days, ...rows], frame);
  }

  function ranges() {
    const group = document.querySelector(".ranges");
    if (!group) return;
    group.hidden = false;
    for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", String(Number(button.dataset.range) === span));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-range]");
    if (!button) return;
    span = Number(button.dataset.range);
    ranges();
    draw();
  });
  const frame = document.getElementById("curve");
  if (frame && "ResizeObserver" in window) {
    let width = 0;
    new ResizeObserver(() => { const now = document.getElementById("curve").clientWidth; if (now && now !== width) { width = now; draw(); } }).observe(frame);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let drawn = "";
  document.addEventListener("htmx:after:swap", () => {
    ranges();
    const text = document.getElementById("curve-data");
    if (text && text.textContent !== drawn) { drawn = text.textContent; draw(); }
  });
  ranges();
})();
