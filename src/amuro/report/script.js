"use strict";
(() => {
  const make = (tag, text, name) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (name) node.className = name;
    return node;
  };
  const by = (id) => document.getElementById(id);

  const themes = ["auto", "light", "dark"];
  const theme = by("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(theme.dataset.now) + 1) % themes.length];
    theme.dataset.now = next;
    theme.textContent = "Theme: " + next;
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
  });

  const verdicts = by("verdict-filter");
  if (verdicts) {
    verdicts.hidden = false;
    verdicts.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      for (const other of verdicts.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
      for (const card of document.querySelectorAll("[data-verdict]"))
        card.hidden = button.value !== "" && card.dataset.verdict !== button.value;
      for (const chapter of document.querySelectorAll("[data-chapter]"))
        chapter.hidden = !chapter.querySelector("[data-verdict]:not([hidden])");
    });
  }
  const showTarget = () => {
    const target = location.hash.length > 1 && by(decodeURIComponent(location.hash.slice(1)));
    if (!target || !target.closest("[hidden]") || !verdicts) return;
    verdicts.querySelector("button").click();
    target.scrollIntoView();
  };
  addEventListener("hashchange", showTarget);

  addEventListener("beforeprint", () => {
    for (const card of document.querySelectorAll("details.finding")) card.open = true;
  });

  const data = JSON.parse(by("examples-data").textContent);
  if (!data.tasks.length) return;
  const boxes = { task: by("pick-task"), tuned: by("pick-tuned"), checkpoint: by("pick-checkpoint"), flow: by("pick-flow") };
  const fill = (box, names, any) => {
    const before = box.value;
    box.replaceChildren();
    if (any) box.append(new Option(any, ""));
    for (const [value, text] of names) box.append(new Option(text, value));
    if (names.some(([value]) => value === before)) box.value = before;
  };
  const unique = (values) => [...new Set(values)].map((value) => [value, value]);
  const step = 5;
  let shown = step;

  const row = (answer) => {
    const line = make("tr");
    const head = make("th", answer.checkpoint);
    head.scope = "row";
    head.append(make("small", "tuned on " + answer.tuned_on));
    line.append(head);
    for (const said of [answer.base, answer.tuned]) {
      const cell = make("td");
      cell.append(make("bdi", said));
      line.append(cell);
    }
    line.append(make("td", data.flows[answer.flow], "flow flow-" + answer.flow));
    return line;
  };
  const card = (entry, answers) => {
    const box = make("article", undefined, "card example");
    const head = make("p", undefined, "small soft");
    head.append(make("code", entry.id), " · " + entry.where + " · cluster ", make("code", entry.cluster));
    const gold = make("p");
    gold.append("Right answer: ", make("b"));
    gold.lastChild.append(make("bdi", entry.gold));
    const table = make("table", undefined, "answers");
    const top = make("tr");
    for (const name of ["after", "base said", "tuned said", "change"]) {
      const cell = make("th", name);
      cell.scope = "col";
      top.append(cell);
    }
    table.createTHead().append(top);
    table.createTBody().append(...answers.map(row));
    const scroll = make("div", undefined, "scroll");
    scroll.tabIndex = 0;
    scroll.append(table);
    box.append(head, make("pre", entry.prompt), gold, scroll);
    return box;
  };
  const draw = () => {
    const task = data.tasks[Number(boxes.task.value)];
    const wanted = (answer) =>
      (!boxes.tuned.value || answer.tuned_on === boxes.tuned.value) &&
      (!boxes.checkpoint.value || answer.checkpoint === boxes.checkpoint.value) &&
      (!boxes.flow.value || answer.flow === boxes.flow.value);
    const found = task.cards.map((entry) => [entry, entry.answers.filter(wanted)]).filter(([, answers]) => answers.length);
    by("example-list").replaceChildren(...found.slice(0, shown).map(([entry, answers]) => card(entry, answers)));
    by("example-count").textContent = found.length
      ? Math.min(shown, found.length) + " of " + found.length + " examples"
      : "No example fits this choice.";
    by("example-more").hidden = shown >= found.length;
  };
  const choose = () => {
    const answers = data.tasks[Number(boxes.task.value)].cards.flatMap((entry) => entry.answers);
    fill(boxes.tuned, unique(answers.map((answer) => answer.tuned_on).sort()), "any task");
    const checkpoints = unique(data.checkpoints.filter((name) => answers.some((answer) => answer.checkpoint === name)));
    const first = !boxes.checkpoint.options.length;
    fill(boxes.checkpoint, checkpoints, "any checkpoint");
    if (first) boxes.checkpoint.selectedIndex = checkpoints.length;
    shown = step;
    draw();
  };
  fill(boxes.task, data.tasks.map((task, place) => [String(place), task.title]));
  fill(boxes.flow, Object.entries(data.flows), "any change");
  boxes.task.addEventListener("change", choose);
  for (const box of [boxes.tuned, boxes.checkpoint, boxes.flow])
    box.addEventListener("change", () => { shown = step; draw(); });
  by("example-more").addEventListener("click", () => { shown += step; draw(); });
  by("example-filters").hidden = false;
  choose();
})();
