// What needs a hand on a run's page. Without it the page is complete: every number is written in it.
(() => {
  const read = (id) => { const found = document.getElementById(id); return found && JSON.parse(found.textContent); };
  const days = read("days") || [];
  const money = new Intl.NumberFormat("en-US", { style: "currency", currency: document.documentElement.dataset.currency || "USD" });
  const signed = new Intl.NumberFormat("en-US", { style: "currency", currency: document.documentElement.dataset.currency || "USD", signDisplay: "exceptZero" });
  const make = (name, text, classes) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (classes) node.className = classes;
    return node;
  };
  for (const node of document.querySelectorAll(".controls, .legend")) node.hidden = false;

  // ---------------------------------------------------------------- values under the pointer
  const tip = make("div");
  tip.id = "tip";
  document.body.append(tip);
  const words = (value, unit) => value === null || value === undefined ? "n/a" : unit === "$" ? money.format(value) : value.toFixed(2) + (unit ? " " + unit : "");
  const place = (event) => {
    tip.style.display = "block";
    const right = event.clientX + 16 + tip.offsetWidth > innerWidth;
    tip.style.left = Math.max(4, right ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16) + "px";
    tip.style.top = Math.max(4, Math.min(event.clientY - 20, innerHeight - tip.offsetHeight - 8)) + "px";
  };
  const pair = (name, value, colour) => {
    const row = make("div"), left = make("span");
    if (colour) { const dot = make("i"); dot.style.background = `var(--${colour})`; left.append(dot); }
    left.append(name);
    row.append(left, make("span", value));
    return row;
  };
  const figures = [...document.querySelectorAll("figure.chart")].map((figure) => ({
    data: JSON.parse(figure.querySelector("script").textContent),
    plot: figure.querySelector(".plot"), cursor: figure.querySelector(".cursor"),
  }));
  const hide = () => { tip.style.display = "none"; for (const f of figures) f.cursor.style.display = "none"; };
  for (const { data, plot } of figures) {
    const dates = data.dates || days, count = dates.length;
    if (!count) continue;
    const show = (event) => {
      const box = plot.getBoundingClientRect();
      const at = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      const row = Math.round(at * (count - 1));
      for (const f of figures) {
        if ((f.data.dates || days).length !== count) continue;
        f.cursor.style.left = (count > 1 ? 100 * row / (count - 1) : 0) + "%";
        f.cursor.style.display = "block";
      }
      tip.replaceChildren(make("b", dates[row]), ...data.lines.map((line) => pair(line.name, words(line.values[row], line.unit), line.colour)));
      place(event);
    };
    plot.addEventListener("pointermove", show);
    plot.addEventListener("pointerdown", show);
    plot.addEventListener("pointerleave", hide);
  }

  // ---------------------------------------------------------------- trades
  const trades = read("trade-data");
  if (trades) {
    const { names, columns } = trades, count = columns.pnl.length;
    const text = (n) => `${names.ticker[columns.ticker[n]]} ${names.strategy[columns.strategy[n]]} ${reason(n)}`.toLowerCase();
    const reason = (n) => names.reason[columns.reason[n]].replaceAll("_", " ");
    const round = (value) => value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    const shares = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 3 });
    const tone = (value) => value > 0 ? "num up" : value < 0 ? "num down" : "num soft";
    // title, name in the CSV, value, words, class
    const shown = [
      ["ticker", "ticker", (n) => names.ticker[columns.ticker[n]]],
      ["P&L", "pnl", (n) => columns.pnl[n] / 100, (v) => signed.format(v), tone],
      ["P&L %", "pnl_percent", (n) => columns.gain[n], (v) => (v > 0 ? "+" : "") + v.toFixed(2) + "%", tone],
      ["strategy", "strategy", (n) => names.strategy[columns.strategy[n]]],
      ["bought", "bought", (n) => days[columns.entry[n]], undefined, () => "day"],
      ["sold", "sold", (n) => days[columns.exit[n]], undefined, () => "day"],
      ["sessions", "sessions", (n) => columns.exit[n] - columns.entry[n], shares, () => "num"],
      ["shares", "shares", (n) => columns.quantity[n], shares, () => "num"],
      ["in at", "entry_price", (n) => columns.in[n], round, () => "num"],
      ["out at", "exit_price", (n) => columns.out[n], round, () => "num"],
      ["costs", "costs", (n) => columns.costs[n] / 100, (v) => money.format(v), () => "num"],
      ["why sold", "reason", reason],
    ];
    let order = Array.from({ length: count }, (_, n) => n).sort((a, b) => columns.exit[b] - columns.exit[a]);
    let found = order, most = 60, sorted = [5, -1];
    const table = make("table"), head = make("tr"), body = make("tbody");
    const find = document.getElementById("find"), more = document.getElementById("more");
    const fill = () => {
      body.replaceChildren(...found.slice(0, most).map((n) => {
        const row = make("tr");
        for (const [, , value, say, kind] of shown) {
          const it = value(n);
          row.append(make("td", say ? say(it) : it, kind ? kind(it) : ""));
        }
        return row;
      }));
      more.parentElement.hidden = found.length <= most;
      const sum = found.reduce((total, n) => total + columns.pnl[n], 0) / 100;
      document.getElementById("trade-count").textContent =
        `${found.length.toLocaleString("en-US")} of ${count.toLocaleString("en-US")} closed trades, together ${signed.format(sum)}` +
        (found.length > most ? `; ${most} are shown.` : ".");
    };
    const sift = () => {
      const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      found = wanted.length ? order.filter((n) => { const line = text(n); return wanted.every((word) => line.includes(word)); }) : order;
      fill();
    };
    shown.forEach(([title, , value, say], k) => {
      const cell = make("th", undefined, say ? "num" : ""), button = make("button", title);
      button.type = "button";
      button.addEventListener("click", () => {
        sorted = [k, sorted[0] === k ? -sorted[1] : say || k === 5 ? -1 : 1];
        order = order.toSorted((a, b) => { const x = value(a), y = value(b); return sorted[1] * (x < y ? -1 : x > y ? 1 : 0); });
        for (const other of head.children) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", sorted[1] > 0 ? "ascending" : "descending");
        sift();
      });
      if (k === 5) cell.setAttribute("aria-sort", "descending");
      cell.append(button);
      head.append(cell);
    });
    table.append(make("thead"), body);
    table.firstChild.append(head);
    const frame = make("div", undefined, "scroll");
    for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", "table, scrolls sideways"]]) frame.setAttribute(name, value);
    frame.append(table);
    document.getElementById("trade-table").replaceChildren(frame);
    find.addEventListener("input", () => { most = 60; sift(); });
    more.addEventListener("click", () => { most += 300; fill(); });
    document.getElementById("csv").addEventListener("click", () => {
      // a text that begins like a formula would be run by a spreadsheet
      const cell = (value) => {
        const plain = String(value);
        const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(plain) ? "'" + plain : plain;
        return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
      };
      const lines = [shown.map((column) => column[1]), ...found.map((n) => shown.map(([, , value]) => value(n)))];
      const link = make("a");
      link.href = URL.createObjectURL(new Blob([lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" }));
      link.download = "trades.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    sift();
  }

  // ---------------------------------------------------------------- a ticker's prices
  const prices = read("price-data");
  if (prices && prices.tickers.length) {
    const SVG = "http://www.w3.org/2000/svg";
    const place_of = document.getElementById("price-chart");
    const choose = document.getElementById("ticker"), span = document.getElementById("span");
    const draw = (name, attributes, text) => {
      const node = document.createElementNS(SVG, name);
      for (const key in attributes) node.setAttribute(key, attributes[key]);
      if (text !== undefined) node.textContent = text;
      return node;
    };
    prices.tickers.forEach((ticker, n) => {
      const option = make("option", `${ticker.name}, ${ticker.fills.length} fills, ${signed.format(ticker.pnl / 100)} closed`);
      option.value = n;
      choose.append(option);
    });
    const most = prices.tickers.reduce((best, ticker, n) => ticker.fills.length > prices.tickers[best].fills.length ? n : best, 0);
    choose.value = most;
    const years = [...new Set(days.map((day) => day.slice(0, 4)))];
    span.append(make("option", "all"), ...years.map((year) => make("option", year)));
    const nice = (low, high) => {
      const raw = (high - low) / 4, power = 10 ** Math.floor(Math.log10(raw));
      const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw * 0.999);
      const ticks = [];
      for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(Number(tick.toFixed(8)));
      return ticks;
    };
    const paint = () => {
      const ticker = prices.tickers[choose.value], unit = 10 ** ticker.decimals;
      let first = 0, last = days.length - 1;
      if (span.value !== "all") {
        first = days.findIndex((day) => day.startsWith(span.value));
        last = days.findLastIndex((day) => day.startsWith(span.value));
      }
      const width = place_of.clientWidth, height = place_of.clientHeight;
      if (!width) return;
      const points = [];
      let level = 0;
      ticker.closes.forEach((change, n) => {
        const row = n * prices.step;
        if (change !== null) level += change;
        if (row >= first && row <= last) points.push([row, change === null ? null : level / unit]);
      });
      const fills = ticker.fills.filter((f) => f[0] >= first && f[0] <= last);
      const stops = [];
      let resting = null;
      for (const [row, stop] of ticker.stops) {
        if (row <= first) resting = stop;
        else if (row <= last) stops.push([row, stop]);
      }
      stops.unshift([first, resting]);
      const known = [...points.map((p) => p[1]), ...fills.map((f) => f[2]), ...stops.map((s) => s[1])].filter((v) => v !== null);
      shown = null;
      if (!known.length) { place_of.replaceChildren(make("p", "No price is known in this year.", "soft")); return; }
      let low = Math.min(...known), high = Math.max(...known);
      const room = (high - low || high || 1) * 0.06;
      low -= room; high += room;
      const x = (row) => last > first ? (row - first) / (last - first) * width : width / 2;
      const y = (value) => (high - value) / (high - low) * height;
      const svg = draw("svg", { role: "img", viewBox: `0 0 ${width} ${height}`, "aria-label": `Price of ${ticker.name} with ${fills.length} fills` });
      for (const tick of nice(low, high)) {
        svg.append(draw("path", { class: "grid", d: `M0 ${y(tick).toFixed(1)}H${width}` }));
        svg.append(draw("text", { class: "y", x: -8, y: y(tick).toFixed(1) }, tick.toLocaleString("en-US")));
      }
      const wanted = width < 500 ? 3 : 5;
      for (let n = 0; n < wanted; n++) {
        const row = Math.round(first + (last - first) * n / (wanted - 1));
        svg.append(draw("text", { class: "x " + (n ? n === wanted - 1 ? "last" : "" : "first"), x: x(row).toFixed(1), y: height, dy: 18 }, days[row]));
      }
      let line = "", pen = "M";
      for (const [row, value] of points) {
        if (value === null) { pen = "M"; continue; }
        line += `${pen}${x(row).toFixed(1)} ${y(value).toFixed(1)}`;
        pen = "L";
      }
      svg.append(draw("path", { class: "price", d: line }));
      let steps = "";
      stops.forEach(([row, stop], n) => {
        if (stop === null) return;
        const until = n + 1 < stops.length ? stops[n + 1][0] : last;
        steps += `M${x(row).toFixed(1)} ${y(stop).toFixed(1)}H${x(until).toFixed(1)}`;
      });
      svg.append(draw("path", { class: "stop", d: steps }));
      for (const [row, buys, price] of fills) {
        const sign = buys ? 1 : -1;
        svg.append(draw("path", {
          class: buys ? "in" : "out", d: `M${x(row).toFixed(1)} ${(y(price) + 2 * sign).toFixed(1)}l5 ${9 * sign}h-10Z`,
        }));
      }
      place_of.replaceChildren(svg);
      shown = { points, fills, x, width, first, last };
    };
    let shown = null;
    const tell = (event) => {
      if (!shown) return;
      const { points, fills, x, width, first, last } = shown, box = place_of.getBoundingClientRect();
      const at = Math.min(width, Math.max(0, event.clientX - box.left));
      const near = fills.filter((f) => Math.abs(x(f[0]) - at) <= 6).sort((a, b) => Math.abs(x(a[0]) - at) - Math.abs(x(b[0]) - at));
      const row = near.length ? near[0][0] : Math.round(first + at / width * (last - first));
      const close = points.reduce((best, p) => p[1] !== null && p[0] <= row ? p : best, null);
      const lines = near.filter((f) => f[0] === row).map(([, buys, price, quantity, strategy, reason]) => pair(
        `${buys ? "bought" : "sold"} ${quantity.toLocaleString("en-US")} at ${money.format(price)}`,
        `${prices.strategies[strategy]}, ${prices.reasons[reason]}`,
      ));
      tip.replaceChildren(make("b", days[row]), ...(close ? [pair("close", money.format(close[1]))] : []), ...lines);
      place(event);
    };
    place_of.addEventListener("pointermove", tell);
    place_of.addEventListener("pointerdown", tell);
    place_of.addEventListener("pointerleave", hide);
    choose.addEventListener("change", paint);
    span.addEventListener("change", paint);
    new ResizeObserver(paint).observe(place_of);
    paint();
  }
})();
