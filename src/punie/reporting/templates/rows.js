"use strict";
// Whatever a model wrote reaches the page through textContent alone, never as markup.
const $ = (id) => document.getElementById(id);
const rows = [...document.querySelectorAll("tr.row")];
// What a row may be, in the order of the filter; each page has its own.
const STATUSES = $("table").dataset.statuses.split(" ");

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function count(list, key) {
  const found = new Map();
  for (const item of list) found.set(key(item), (found.get(key(item)) || 0) + 1);
  return found;
}

// Many small slices would push the prompts off the page.
for (const body of document.querySelectorAll(".slices tbody")) {
  const more = [...body.querySelectorAll(".more")];
  if (!more.length) continue;
  for (const row of more) row.hidden = true;
  const button = make("button", "show", `show ${more.length} more`);
  button.type = "button";
  const cell = make("td");
  cell.colSpan = more[0].cells.length;
  cell.append(button);
  const line = make("tr", "act");
  line.append(cell);
  body.append(line);
  button.addEventListener("click", () => {
    for (const row of more) row.hidden = false;
    line.remove();
    more[0].querySelector("th").scrollIntoView({ block: "nearest" });
  });
}

// Without a clipboard the command can still be selected with one click.
if ($("resume") && navigator.clipboard) {
  const button = make("button", "show", "copy");
  button.type = "button";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText($("resume").textContent);
    button.textContent = "copied";
  });
  $("resume").after(button);
}

// ---- filters -------------------------------------------------------------------------------

const searched = rows.map((row) => row.textContent.toLowerCase());
let wanted = { text: "", status: "", category: "" };

function filter(change) {
  wanted = { ...wanted, ...change };
  const phrase = wanted.text.trim().toLowerCase();
  let shown = 0;
  rows.forEach((row, at) => {
    const fits =
      (!wanted.status || row.dataset.status === wanted.status) &&
      (!wanted.category || row.dataset.category === wanted.category) &&
      searched[at].includes(phrase);
    row.hidden = !fits;
    if (row.sheet) row.sheet.hidden = !fits;
    shown += fits;
  });
  $("shown").textContent = shown === rows.length ? `${shown} prompts` : `${shown} of ${rows.length}`;
  $("none").hidden = shown > 0;
  const apart = document.querySelector("tr.apart");
  if (apart) apart.hidden = !rows.some((row) => row.dataset.status === "fault" && !row.hidden);
}

function reset(text, status = "") {
  $("text").value = text;
  $("category").value = "";
  document.querySelector(`#status input[value="${status}"]`).checked = true;
  filter({ text, status, category: "" });
}

function choice(status, label, number) {
  const box = make("label");
  const input = make("input");
  input.type = "radio";
  input.name = "status";
  input.value = status;
  input.checked = !status;
  input.addEventListener("change", () => filter({ status }));
  box.append(input);
  if (status) box.append(make("span", `mark ${status}`));
  box.append(label, make("b", "", String(number)));
  return box;
}

const byStatus = count(rows, (row) => row.dataset.status);
$("status").append(choice("", "all", rows.length));
for (const status of STATUSES) {
  if (byStatus.has(status)) $("status").append(choice(status, status.replace("-", " "), byStatus.get(status)));
}
const byCategory = count(rows, (row) => row.dataset.category);
for (const [category, number] of byCategory) {
  const option = make("option", "", `${category} (${number})`);
  option.value = category;
  $("category").append(option);
}
$("category").addEventListener("change", (event) => filter({ category: event.target.value }));
$("text").addEventListener("input", (event) => filter({ text: event.target.value }));
document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
document.querySelector(".filters").hidden = false;
for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    reset(button.dataset.show, button.dataset.only);
    $("prompts").scrollIntoView();
  });
}

// ---- transcripts ---------------------------------------------------------------------------

const blocks = new Map();

async function unpack(number) {
  const bytes = Uint8Array.from(atob($(`block-${number}`).textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

async function transcript(place) {
  const [block, index] = place.split(".").map(Number);
  if (!blocks.has(block)) blocks.set(block, unpack(block));
  return (await blocks.get(block))[index];
}

function part(title, className, cards) {
  const box = make("div", className);
  box.append(make("h3", "", title), cards);
  return box;
}

const LONG = 20000;

// A browser needs seconds to lay out a line of a million characters.
function pre(text) {
  const box = make("pre", "", text.slice(0, LONG));
  if (text.length > LONG) {
    const more = make("button", "show", `show all ${text.length.toLocaleString("en")} characters`);
    more.type = "button";
    more.addEventListener("click", () => (box.textContent = text));
    box.append(" … ", more);
  }
  return box;
}

function block(label, text) {
  const box = make("div");
  if (label) box.append(make("span", "label", label));
  box.append(pre(text));
  return box;
}

function card(className, children) {
  const box = make("div", `card ${className}`);
  box.append(...children);
  return box;
}

function conversation(messages) {
  return card("", messages.map((message) => {
    const turn = make("div", `turn ${message.role}`);
    turn.append(make("span", "label", message.title), pre(message.text));
    return turn;
  }));
}

function answer(found, status) {
  if (found.fault) {
    const { title, text, meaning } = found.fault;
    const words = make("div");
    words.append(make("p", "aside", meaning));
    return card("got-fault", [block(`could not be measured: ${title}`, text), words]);
  }
  const { text, reasoning, calls } = found.answer;
  const said = calls.map((call) => block(`tool call, ${call.form}`, call.text));
  if (text) said.push(block(calls.length ? "text beside the call" : "text", text));
  if (!said.length) said.push(block("", "(empty answer)"));
  if (reasoning) {
    const box = make("details");
    box.append(make("summary", "", "reasoning"), pre(reasoning));
    const holder = make("div");
    holder.append(box);
    said.push(holder);
  }
  return card(`got-${status}`, said);
}

function judged(score) {
  const box = make("div", "judged");
  const verdict = score.passed ? "pass" : score.value === "0" ? "fail" : "partial";
  box.append(make("span", `mark ${verdict}`));
  const line = make("span", "", `${score.title}: ${verdict}, score ${score.value}`);
  box.append(line);
  if (score.culprit) line.append(make("strong", "", ` · ${score.culprit}`));
  if (score.note) box.append(pre(score.note));
  if (score.meaning) box.append(make("p", "aside", score.meaning));
  if (score.details.length) {
    box.append(pre(score.details.map(([k, v]) => `${k} ${v}`).join(" · ")));
  }
  return box;
}

// What was sent and expected, the same for everyone who was asked.
function asked(found) {
  const parts = [part("Sent", "whole", conversation(found.messages))];
  if (found.tools.length) {
    const tools = make("details", "whole");
    const names = found.tools.map((tool) => tool.name).join(", ");
    tools.append(make("summary", "", `Tools offered: ${names}`));
    tools.append(card("", found.tools.map((tool) => block(tool.name, tool.text))));
    parts.push(tools);
  }
  return parts;
}

function expectation(found) {
  const expected = found.expected.map((each) => block(each.title, each.text));
  if (!expected.length) expected.push(block("", "Nothing in particular: this prompt is not scored."));
  return card("expected", expected);
}

function facts(pairs) {
  const line = make("p", "facts whole");
  for (const [name, value] of pairs) {
    const fact = make("span", "", name ? `${name} ` : "");
    fact.append(make("b", "", value));
    line.append(fact);
  }
  return line;
}

async function toggle(row) {
  const open = !row.classList.contains("opened");
  row.classList.toggle("opened", open);
  row.querySelector("button").setAttribute("aria-expanded", String(open));
  if (!open) {
    row.sheet?.remove();
    row.sheet = null;
    return;
  }
  row.sheet = make("tr", "open");
  const cell = make("td");
  cell.colSpan = row.cells.length;
  row.sheet.append(cell);
  row.after(row.sheet);
  try {
    cell.append(sheet(await transcript(row.dataset.at), row.dataset.status));
  } catch (error) {
    cell.append(make("p", "aside", `This transcript cannot be read: ${error}`));
  }
}

for (const row of rows) {
  const name = row.querySelector(".name");
  const button = make("button", "", name.textContent);
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  name.replaceWith(button);
}
$("table").addEventListener("click", (event) => {
  const row = event.target.closest("tr.row");
  // Selecting text in a row is no click on it.
  if (row && (event.target.closest("button") || !String(getSelection()))) toggle(row);
});

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing) {
    event.preventDefault();
    $("text").focus();
  } else if (event.key === "Escape" && event.target === $("text")) {
    reset("");
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.closest?.("tr.row")) {
    const visible = rows.filter((row) => !row.hidden);
    const step = event.key === "ArrowDown" ? 1 : -1;
    const next = visible[visible.indexOf(event.target.closest("tr.row")) + step];
    if (next) {
      event.preventDefault();
      next.querySelector("button").focus();
    }
  }
});

filter({});
