"use strict";
// One script, put together from these files in order; it may load nothing and makes elements from text alone.
const by = (id) => document.getElementById(id);
const make = (tag, text, name) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
};

// What was chosen, kept in the address (#?key=words&…), so that a view can be passed on.
const chosen = new URLSearchParams(location.hash.startsWith("#?") ? location.hash.slice(2) : "");
const remember = (key, words) => {
  if (words) chosen.set(key, words);
  else chosen.delete(key);
  history.replaceState(null, "", chosen.size ? "#?" + chosen : "#");
};
// Options are remembered by their words: those mean the same in the next report.
const bind = (select, key, changed) => {
  const standard = select.selectedIndex;
  const known = [...select.options].find((option) => option.text === chosen.get(key));
  if (known) known.selected = true;
  select.addEventListener("change", () => {
    remember(key, select.selectedIndex === standard ? "" : select.selectedOptions[0].text);
    changed();
  });
};

{
  const themes = ["auto", "light", "dark"];
  const button = by("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(button.dataset.now) + 1) % themes.length];
    button.dataset.now = next;
    button.textContent = "Theme: " + next;
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
  });
}

{
  // On paper nothing can be unfolded: every finding is, and afterwards the page is as it was.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details.finding:not([open])")];
    for (const finding of folded) finding.open = true;
  });
  addEventListener("afterprint", () => {
    for (const finding of folded) finding.open = false;
  });
}
