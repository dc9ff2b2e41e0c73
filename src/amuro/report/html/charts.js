// Charts: what a point says on hover, tap and arrow keys; and a linear or a log axis.
{
  const tip = make("div", undefined, "tip");
  tip.id = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);

  // The browser's own hints would stand beside ours: on first use a chart's titles become labels.
  const known = new WeakMap();
  const pointsOf = (chart) => {
    if (known.has(chart)) return known.get(chart);
    const points = [];
    for (const title of chart.querySelectorAll("title")) {
      const owner = title.parentNode;
      owner.setAttribute("aria-label", title.textContent);
      if (owner.matches(".dot,.hole")) points.push(owner);
      title.remove();
    }
    chart.removeAttribute("aria-labelledby");
    known.set(chart, points);
    return points;
  };
  const middle = (node) => {
    const box = node.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };

  let shown = null;
  const hide = () => {
    if (shown) shown.classList.remove("at");
    shown = null;
    tip.hidden = true;
  };
  const show = (point) => {
    if (point === shown) return;
    hide();
    shown = point;
    point.classList.add("at");
    const words = point.getAttribute("aria-label");
    const cut = words.lastIndexOf(": ");
    tip.hidden = false; // first, so that a screen reader hears what changes in it
    tip.replaceChildren(make("span", words.slice(0, cut)), make("b", words.slice(cut + 2)));
    settle();
  };
  const settle = () => {
    const [x, y] = middle(shown);
    const { width, height } = tip.getBoundingClientRect();
    const room = document.documentElement.clientWidth - width - 8;
    tip.style.left = Math.max(8, Math.min(room, x - width / 2)) + "px";
    tip.style.top = (y - height - 12 > 0 ? y - height - 12 : y + 14) + "px";
  };

  const REACH = 24; // pixels from a point within which it answers
  const nearest = (chart, x, y) => {
    const far = (point) => Math.hypot(...middle(point).map((place, axis) => place - [x, y][axis]));
    const [best] = pointsOf(chart).map((point) => [far(point), point]).sort((a, b) => a[0] - b[0]);
    return best && best[0] < REACH ? best[1] : null;
  };
  const answer = (event) => {
    const chart = event.target.closest && event.target.closest("svg.figure");
    const point = chart && nearest(chart, event.clientX, event.clientY);
    if (point) show(point);
    else if (!shown || !shown.ownerSVGElement.matches(":focus")) hide();
  };
  document.addEventListener("pointermove", answer);
  document.addEventListener("pointerdown", answer);
  const scrolled = () => {
    if (shown && shown.ownerSVGElement.matches(":focus")) settle();
    else hide();
  };
  addEventListener("scroll", scrolled, { passive: true, capture: true });

  // Keyboard: a chart is one stop; arrows go from point to point in reading order along the lines.
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  for (const chart of document.querySelectorAll("svg.figure")) {
    if (chart.querySelectorAll(".dot>title,.hole>title").length < 2) continue;
    chart.tabIndex = 0;
    chart.setAttribute("role", "application");
    chart.setAttribute("aria-roledescription", "chart, arrow keys go from point to point");
    let place = 0;
    chart.addEventListener("focus", () => {
      if (chart.matches(":focus-visible")) show(pointsOf(chart)[place]);
    });
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
      if (!(event.key in steps)) return;
      event.preventDefault();
      const points = pointsOf(chart);
      place = (place + steps[event.key] + points.length) % points.length;
      show(points[place]);
    });
  }

  // Every drawing has log places. Linear: whatever moves along the axis gets the place of the same value anew.
  const PAIR = /(-?[\d.]+),(-?[\d.]+)/g;
  const originals = new WeakMap();
  const moving = (chart) => {
    if (!originals.has(chart)) originals.set(chart, [...chart.querySelectorAll(".along *")].flatMap((node) =>
      ["class", "x", "x1", "x2", "cx", node.hasAttribute("transform") ? "transform" : "d"]
        .filter((name) => node.hasAttribute(name))
        .map((name) => [node, name, node.getAttribute(name)])));
    return originals.get(chart);
  };
  const linearPlaces = (chart) => {
    const values = chart.dataset.values.split(" ").map(Number);
    const places = chart.dataset.places.split(" ").map(Number);
    const [first, last] = [0, places.length - 1];
    const share = (value) => (value - values[first]) / (values[last] - values[first]);
    return new Map(places.map((place, k) =>
      [place, (places[first] + share(values[k]) * (places[last] - places[first])).toFixed(1)]));
  };
  const thinTicks = (chart) => { // as the log axis does it: where words would touch, the earlier ones go
    let free = Infinity;
    const ticks = [...chart.querySelectorAll(".along text.tick")].map((tick) => [Number(tick.getAttribute("x")), tick]);
    for (const [x, tick] of ticks.sort((a, b) => b[0] - a[0])) {
      const half = tick.textContent.length * 3.05 + 4;
      tick.classList.toggle("crowded", x + half > free);
      if (x + half <= free) free = x - half;
    }
  };
  const place = (chart, linear) => {
    const anew = linear ? linearPlaces(chart) : new Map();
    const moved = (text) => anew.get(Number(text)) ?? text;
    for (const [node, name, text] of moving(chart))
      node.setAttribute(name, text.includes(",") ? text.replace(PAIR, (_, x, y) => moved(x) + "," + y) : moved(text));
    if (linear) thinTicks(chart);
    const label = chart.querySelector("text.scale");
    label.textContent = label.textContent.replace(/log|linear/, linear ? "linear" : "log");
  };

  const button = by("scale");
  const charts = document.querySelectorAll("svg[data-values]");
  const scale = (linear) => {
    button.textContent = "Scale: " + (linear ? "linear" : "log");
    button.dataset.now = linear ? "linear" : "log";
    for (const chart of charts) place(chart, linear);
  };
  if (button && charts.length) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const linear = button.dataset.now === "log";
      remember("scale", linear ? "linear" : "");
      hide();
      scale(linear);
    });
    if (chosen.get("scale") === "linear") scale(true);
  }
}
