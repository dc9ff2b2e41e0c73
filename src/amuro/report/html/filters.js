// Findings and scores, filtered by what each of them knows of itself.
{
  const bar = by("finding-filters");
  const cards = [...document.querySelectorAll("[data-verdict]")];
  const buttons = bar ? [...bar.querySelectorAll("button")] : [];
  const selects = bar ? [...bar.querySelectorAll("select")] : [];
  const pressed = () => buttons.find((button) => button.getAttribute("aria-pressed") === "true").value;
  const press = (value) => {
    for (const button of buttons) button.setAttribute("aria-pressed", button.value === value);
  };
  const filter = () => {
    const fits = (card) =>
      (!pressed() || card.dataset.verdict === pressed()) &&
      selects.every(({ value, dataset }) => !value || card.dataset[dataset.by].split(" ").includes(value));
    for (const card of cards) card.hidden = !fits(card);
    for (const section of document.querySelectorAll("[data-section]"))
      section.hidden = !section.querySelector("[data-verdict]:not([hidden])");
    const left = cards.filter((card) => !card.hidden).length;
    by("finding-count").textContent = left === cards.length ? "" : left + " of " + cards.length + " findings";
  };
  if (bar) {
    bar.hidden = false;
    for (const button of buttons)
      button.addEventListener("click", () => {
        press(button.value);
        remember("verdict", button.value);
        filter();
      });
    if (buttons.some((button) => button.value === chosen.get("verdict"))) press(chosen.get("verdict"));
    for (const select of selects) bind(select, "finding." + select.dataset.by, filter);
    filter();
  }

  // A link to a finding that is filtered out shows all of them again; one that is folded is unfolded.
  const follow = () => {
    const target = location.hash.length > 1 && !location.hash.startsWith("#?") && by(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (bar && target.closest("[hidden]")) {
      press("");
      for (const select of selects) select.selectedIndex = 0;
      filter();
    }
    const fold = target.closest("details");
    if (fold && !fold.open) fold.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  follow();
}

{
  const bar = by("score-filters");
  const choice = (name) => bar.querySelector(`[data-by=${name}]`);
  const columns = (table, words) => {
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    for (const row of table.rows)
      for (let k = 1; k < row.cells.length; k++)
        row.cells[k].hidden = words !== "" && heads[k] !== words && !row.cells[k].matches(".baseline");
    for (const row of table.tBodies[0].rows)  // what has no checkpoint stands once, in the first column
      if (row.cells[1] && row.cells[1].matches(".baseline"))
        for (let k = 2; k < row.cells.length; k++) row.cells[k].hidden = words !== "";
  };
  const filter = () => {
    const [task, form, place] = ["task", "format", "checkpoint"].map((name) => (choice(name) ? choice(name).value : ""));
    for (const row of document.querySelectorAll("#scores tr[data-task]")) row.hidden = task !== "" && row.dataset.task !== task;
    for (const row of document.querySelectorAll("#scores tr[data-format]"))
      row.hidden = form !== "" && row.dataset.format !== "" && row.dataset.format !== form;
    for (const sheet of document.querySelectorAll("#scores details[data-task]")) {
      sheet.hidden = task !== "" && sheet.dataset.task !== task;
      if (task && !sheet.hidden) sheet.open = true;
    }
    for (const table of document.querySelectorAll("#scores table")) columns(table, place);
  };
  if (bar) {
    bar.hidden = false;
    for (const select of bar.querySelectorAll("select")) bind(select, "score." + select.dataset.by, filter);
    if ([...bar.querySelectorAll("select")].some((select) => select.value)) filter();
  }
}
