// The page of one run.

// The charts follow the table in the file, because they are known only once it is written.
$("prompts").before($("timing"));
document.querySelector('nav a[href="#prompts"]').before(document.querySelector('nav a[href="#timing"]'));

function sheet(found, status) {
  const box = make("div", "sheet");
  box.append(...asked(found));
  box.append(part("Expected", "", expectation(found)));
  box.append(part("Got", "", answer(found, status)));
  if (found.scores?.length) box.append(part("Scored", "whole", card("", found.scores.map(judged))));
  box.append(facts([["", found.traits], ...found.facts]));
  return box;
}

// ---- the map: one mark a prompt, grouped by category; the table says the same in words -------

if (rows.length > 1 && rows.length <= 3000) {
  const groups = make("div", "groups");
  for (const [category, number] of byCategory) {
    const group = make("div");
    const members = rows.filter((row) => row.dataset.category === category);
    const passed = members.filter((row) => row.dataset.status === "pass").length;
    const title = make("h3", "", category);
    const faults = members.filter((row) => row.dataset.status === "fault").length;
    const answered = number - faults;
    const said = answered ? [`${passed} of ${answered} passed`] : ["no answer"];
    if (faults) said.push(`${faults} fault${faults > 1 ? "s" : ""}`);
    title.append(make("span", "", said.join(", ")));
    const cells = make("div", "cells");
    for (const row of members) {
      const cell = make("i");
      cell.title = `${row.querySelector("button").textContent}: ${row.dataset.status}`;
      cell.append(make("span", `mark ${row.dataset.status}`));
      cell.addEventListener("click", () => {
        if (row.hidden) reset("");
        if (!row.sheet) toggle(row);
        row.scrollIntoView({ block: "center" });
      });
      cells.append(cell);
    }
    group.append(title, cells);
    groups.append(group);
  }
  const legend = make("p", "legend");
  for (const status of STATUSES.filter((each) => byStatus.has(each))) {
    const entry = make("span", "", status);
    entry.prepend(make("span", `mark ${status}`));
    legend.append(entry);
  }
  $("map").append(groups, legend);
  $("map").hidden = false;
}
