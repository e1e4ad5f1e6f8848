// The crosshair of the charts. Without it the page is complete; with it each day's values can be read.
(() => {
  const tip = document.createElement("div");
  tip.id = "tip";
  document.body.append(tip);
  const money = new Intl.NumberFormat("en-US", { style: "currency", currency: document.documentElement.dataset.currency || "USD" });
  const words = (value, unit) =>
    value === null ? "n/a" : unit === "$" ? money.format(value) : value.toFixed(2) + unit;
  for (const figure of document.querySelectorAll("figure.chart")) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const plot = figure.querySelector(".plot");
    const cursor = figure.querySelector(".cursor");
    const count = data.dates.length;
    if (!count) continue;
    const hide = () => { tip.style.display = cursor.style.display = "none"; };
    const show = (event) => {
      const box = plot.getBoundingClientRect();
      const at = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      const row = data.bars ? Math.min(count - 1, Math.floor(at * count)) : Math.round(at * (count - 1));
      const x = data.bars ? (row + 0.5) / count : count > 1 ? row / (count - 1) : 0;
      cursor.style.left = 100 * x + "%";
      tip.replaceChildren();
      const day = document.createElement("b");
      day.textContent = data.dates[row];
      tip.append(day);
      for (const line of data.lines) {
        const pair = document.createElement("div");
        const name = document.createElement("span");
        const dot = document.createElement("i");
        dot.style.background = `var(--${line.colour})`;
        name.append(dot, line.name);
        const value = document.createElement("span");
        value.textContent = words(line.values[row], line.unit);
        pair.append(name, value);
        tip.append(pair);
      }
      tip.style.display = cursor.style.display = "block";
      const left = event.clientX + 16 + tip.offsetWidth > innerWidth ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16;
      tip.style.left = Math.max(4, left) + "px";
      tip.style.top = Math.max(4, Math.min(event.clientY - 20, innerHeight - tip.offsetHeight - 8)) + "px";
    };
    plot.addEventListener("pointermove", show);
    plot.addEventListener("pointerdown", show);
    plot.addEventListener("pointerleave", hide);
  }
})();
