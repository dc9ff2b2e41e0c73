// The examples that the page carries: filtered, drawn a few at a time, beside the true counts over all predictions.
{
  const data = JSON.parse(by("examples-data").textContent);
  const bar = by("item-filters");
  const KIND = [["missed", "won"], ["lost", "kept"]]; // [base is right][tuned is right]
  const kinds = Object.keys(data.kinds || {});
  const PAGE = 5, ROWS = 12;

  // All answer pairs of a card; `only` where a change happened in one of the formats that were asked, and in no other.
  const pairsOf = (card) => {
    if (card.pairs) return card.pairs;
    const alike = new Map();
    for (const asked of card.asked)
      asked.tuned.forEach((answers, tuned) => answers && answers.forEach((answer, checkpoint) => {
        if (answer < 0 || asked.base[checkpoint] < 0) return;
        const [base, said] = [card.said[asked.base[checkpoint]], card.said[answer]];
        const pair = { format: asked.format, tuned, checkpoint, base: base[0], said: said[0], kind: KIND[base[1]][said[1]] };
        const key = tuned + "/" + checkpoint;
        alike.set(key, [...(alike.get(key) || []), pair]);
      }));
    for (const group of alike.values())
      for (const pair of group)
        pair.only = "lost won".includes(pair.kind) && group.length > 1 && group.filter((other) => other.kind === pair.kind).length === 1;
    card.pairs = [...alike.values()].flat();
    return card.pairs;
  };
  const wordsOf = (card) => {
    card.words ??= [card.id, card.cluster, card.gold, ...card.asked.map((asked) => asked.prompt), ...card.said.map(([said]) => said)]
      .join("\n").toLowerCase();
    return card.words;
  };

  const answerTable = (pairs) => {
    const table = make("table", undefined, "answers");
    const top = table.createTHead().insertRow();
    for (const name of ["after", "base said", "tuned said", "change"]) {
      const head = make("th", name);
      head.scope = "col";
      top.append(head);
    }
    const body = table.createTBody();
    for (const pair of pairs) {
      const row = body.insertRow();
      const head = make("th", data.checkpoints[pair.checkpoint]);
      head.scope = "row";
      head.append(make("small", "tuned on " + data.tuned[pair.tuned]), make("small", "asked as " + data.formats[pair.format]));
      row.append(head);
      for (const said of [pair.base, pair.said]) row.insertCell().append(make("bdi", said));
      const change = row.insertCell();
      change.className = "flow flow-" + pair.kind;
      change.append(data.kinds[pair.kind]);
      if (pair.only) change.append(make("small", "in this format only"));
    }
    const scroll = make("div", undefined, "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "answers");
    scroll.append(table);
    return scroll;
  };
  const fold = (words, fill) => {
    const box = make("details");
    box.append(make("summary", words));
    box.addEventListener("toggle", () => box.append(fill()), { once: true });
    return box;
  };
  const cardBox = ([card, pairs]) => {
    const box = make("article", undefined, "card example");
    const head = make("p", undefined, "small soft");
    head.append(make("code", card.id), ` · ${data.tasks[card.task]}, ${data.splits[card.split]} · cluster `, make("code", card.cluster));
    box.append(head);
    const used = new Set(pairs.map((pair) => pair.format));
    const asked = [...card.asked].sort((a, b) => used.has(b.format) - used.has(a.format));
    asked.forEach(({ format, prompt }, place) => {
      const words = "asked as " + data.formats[format];
      if (place) box.append(fold(words, () => make("pre", prompt)));
      else box.append(make("p", words, "small soft"), make("pre", prompt));
    });
    const gold = make("p", "Right answer: ");
    gold.append(make("b"));
    gold.lastChild.append(make("bdi", card.gold));
    box.append(gold, answerTable(pairs.slice(0, ROWS)));
    if (pairsOf(card).length > Math.min(ROWS, pairs.length))
      box.append(fold(`All ${pairsOf(card).length} pairs of answers to this example`, () => answerTable(pairsOf(card))));
    return box;
  };

  const start = () => {
    const picks = Object.fromEntries([...bar.querySelectorAll("select")].map((select) => [select.dataset.by, select]));
    const search = by("item-search");
    const picked = (name) => (picks[name].value === "" ? null : Number(picks[name].value));
    let shown = PAGE;

    const fits = (name, value) => picked(name) === null || picked(name) === value;
    const placed = (pair) =>
      fits("tuned", pair.tuned) && fits("checkpoint", pair.checkpoint) && fits("format", pair.format) &&
      (picked("only") === null || (pair.only && pair.format === picked("only")));
    const count = (cards) => {
      const all = kinds.map(() => 0), here = kinds.map(() => 0);
      for (const [task, split, tuned, checkpoint, format, ...numbers] of data.counts) {
        const inside = fits("task", task) && fits("split", split) && fits("tuned", tuned) && fits("checkpoint", checkpoint) &&
          fits("format", format) && fits("only", format);
        const shares = picked("only") === null ? numbers : [...numbers.slice(kinds.length), 0, 0];
        if (inside) kinds.forEach((_, k) => { all[k] += shares[k]; });
      }
      for (const card of cards)
        for (const pair of pairsOf(card)) if (placed(pair)) here[kinds.indexOf(pair.kind)]++;
      for (const [column, numbers] of [[1, all], [2, here]])
        numbers.forEach((number, k) => { by("item-totals").rows[k + 1].cells[column].textContent = number.toLocaleString("en"); });
    };
    const draw = () => {
      const cards = data.cards.filter((card) => fits("task", card.task) && fits("split", card.split));
      count(cards);
      const words = search.value.trim().toLowerCase();
      const found = cards
        .filter((card) => !words || wordsOf(card).includes(words))
        .map((card) => [card, pairsOf(card).filter((pair) => placed(pair) && (!picks.kind.value || pair.kind === picks.kind.value))])
        .filter(([, pairs]) => pairs.length);
      by("example-list").replaceChildren(...found.slice(0, shown).map(cardBox));
      by("example-count").textContent = found.length
        ? `${Math.min(shown, found.length)} of ${found.length} examples on this page`
        : "No example on this page fits this choice.";
      by("example-more").hidden = shown >= found.length;
    };
    const anew = () => { shown = PAGE; draw(); };

    for (const [name, select] of Object.entries(picks)) bind(select, "item." + name, anew);
    search.value = chosen.get("item.words") || "";
    search.addEventListener("input", anew);
    search.addEventListener("change", () => remember("item.words", search.value.trim()));
    by("example-more").addEventListener("click", () => {
      const before = by("example-list").children.length;
      shown += PAGE;
      draw();
      const next = by("example-list").children[before]; // the keyboard goes on where the new ones begin
      next.tabIndex = -1;
      next.focus({ preventScroll: true });
    });
    bar.hidden = false;
    by("item-live").hidden = false;
    draw();
  };
  if (bar && data.cards.length) start();
}
