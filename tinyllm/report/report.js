"use strict";
// The browser of questions. What the data says reaches the page as text nodes only: no string of it is ever parsed.

const PAGE = 10; // questions in the document at once, so that a large set stays as quick as a small one
const PNG_SCALE = 4; // pixels of a PNG for one of the figure, which is 340 wide: for print
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.getElementById("filters");
const fields = Object.fromEntries(["search", "split", "outcome", "teacher", "status"].map(n => [n, form.elements[n]]));
const texts = data.questions.map(searched);
let found = [];
let start = 0;

function make(tag, style, ...parts) {
  const node = document.createElement(tag);
  if (style) node.className = style;
  node.append(...parts);
  return node;
}

function searched(q) {
  const said = (q.rationales || []).map(pair => pair[1] || "");
  const answers = q.choices.length ? q.choices : [q.gold, ...(q.answers || []).map(a => a.wrote)];
  const voices = (q.voices || []).flatMap(voice => voice ? [voice.rationale, voice.wrote || ""] : []);
  return [q.id, q.context || "", q.question, ...answers, ...said, ...voices, ...(q.explanations || [])].join("\n").toLowerCase();
}

function is_right(q, answer) {
  return q.choices.length ? answer.choice === q.gold : answer.right;
}

function outcome(q) {
  if (!q.answers) return "";
  const right = q.answers.filter(a => is_right(q, a)).length;
  return { right, verdict: 2 * right > q.answers.length ? "right" : "wrong", split: 0 < right && right < q.answers.length };
}

function has_status(q, teacher, status) {
  const wanted = pair => !status || (status === "refused" ? pair[0] !== "ok" : pair[0] === status);
  return (q.rationales || []).some((pair, i) => (teacher === "" || i === Number(teacher)) && wanted(pair));
}

function passes(q, i, words, split, wanted, teacher, status) {
  if (split && q.split !== split) return false;
  if (wanted) {
    const answered = outcome(q);
    if (!answered || (wanted === "split" ? !answered.split : answered.verdict !== wanted)) return false;
  }
  if ((teacher !== "" || status) && !has_status(q, teacher, status)) return false;
  return words.every(word => texts[i].includes(word));
}

function search_words() {
  return fields.search.value.toLowerCase().split(/\s+/).filter(Boolean);
}

function apply() {
  const asked = [search_words(), ...["split", "outcome", "teacher", "status"].map(name => fields[name].value)];
  found = data.questions.filter((q, i) => passes(q, i, ...asked));
  show(0);
}

function show(from) {
  start = from;
  const words = search_words();
  const pattern = words.length ? new RegExp(words.map(w => w.replace(/[\\^$.*+?()[\]{}|\/-]/g, "\\$&")).join("|"), "gi") : null;
  document.getElementById("list").replaceChildren(...found.slice(start, start + PAGE).map(q => card(q, pattern)));
  const last = Math.min(start + PAGE, found.length);
  document.getElementById("count").textContent =
    `${found.length.toLocaleString("en")} of ${data.questions.length.toLocaleString("en")} questions`;
  document.getElementById("place").textContent = found.length ? `${start + 1}–${last}` : "none";
  document.getElementById("previous").disabled = start === 0;
  for (const id of ["next", "more"]) document.getElementById(id).disabled = last >= found.length;
}

function marked(text, pattern) {
  if (!pattern) return [text];
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(end, match.index), make("mark", "", match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

function card(q, pattern) {
  const asked = make("div", "", head(q));
  if (q.context) asked.append(make("p", "context", ...marked(q.context, pattern)));
  asked.append(make("p", "asked", ...marked(q.question, pattern)));
  const node = make("article", "", asked, make("div", "scroll", q.choices.length ? options(q, pattern) : free(q, pattern)));
  if (q.choices.length) node.append(...written(q.answers || []));
  if (q.rationales) node.append(make("div", "voices wide", ...q.rationales.map((pair, i) => voice(i, pair, pattern))));
  if (q.voices) {
    node.append(make("p", "note wide", `In each voice, the student of seed ${data.seeds[0]} writes`));
    node.append(make("div", "voices wide", ...q.voices.flatMap((said, i) => said ? [reasoned(q, i, said, pattern)] : [])));
  }
  if (q.explanations) {
    node.append(make("p", "note wide", `Asked to explain, the student of seed ${data.seeds[0]} writes`));
    const why = q.empty || [];
    const boxes = say => q.explanations.flatMap((text, i) => text === null || !say(i) ? [] : [explanation(i, text, pattern)]);
    node.append(make("div", "voices wide", ...boxes(i => !why[i])));
    node.append(...folded(boxes(i => why[i]), why, "explanation", "voices"));
  }
  return node;
}

// What each seed wrote where that is none of the options; texts that say nothing are folded away.
function written(answers) {
  const notes = answers.map((answer, i) => make("p", "note wide", `Seed ${data.seeds[i]} writes `, make("q", "", answer.wrote || "")));
  const said = notes.filter((_, i) => "wrote" in answers[i] && !answers[i].empty);
  return [...said, ...folded(notes.filter((_, i) => answers[i].empty), answers.map(answer => answer.empty), "written answer")];
}

function folded(nodes, why, what, style = "") {
  if (!nodes.length) return [];
  const told = `${nodes.length} ${what}${nodes.length === 1 ? " says" : "s say"} nothing: ${[...new Set(why.filter(Boolean))].join(", ")}`;
  return [make("details", "wide", make("summary", "", told), make("div", style, ...nodes))];
}

function head(q) {
  const node = make("div", "head", make("span", "", q.id), make("span", "", q.split));
  if (q.answers) {
    const { right, verdict } = outcome(q);
    const told = q.answers.length === 1 ? verdict : `${verdict}: ${right} of ${q.answers.length} seeds`;
    node.append(make("span", verdict, told));
  }
  return node;
}

function options(q, pattern) {
  const table = make("table", q.answers ? "options test" : "options");
  if (q.answers) {
    const seeds = data.seeds.map(seed => make("th", "", `seed ${seed}`));
    table.append(make("thead", "", make("tr", "", make("th", "", ""), ...seeds)));
    for (const cell of table.querySelectorAll("th")) cell.scope = "col";
  }
  const body = make("tbody");
  for (const [i, choice] of q.choices.entries()) {
    const label = make("span", i === q.gold ? "gold" : "", ...marked(choice, pattern));
    const option = make("th", "", make("span", "letter", `(${LETTERS[i]})`), label);
    if (i === q.gold) option.append(" ", make("span", "tag", "gold"));
    option.scope = "row";
    body.append(make("tr", "", option, ...(q.answers || []).map(answer => bet(q, answer, i))));
  }
  table.append(body);
  return table;
}

// Of a question without options: the gold answer, and what each seed writes.
function free(q, pattern) {
  const row = (name, ...cell) => make("tr", "", make("th", "", name), make("td", "", ...cell));
  const table = make("table", "options free", make("tbody", "", row("gold", make("span", "gold", ...marked(q.gold, pattern)))));
  for (const [i, answer] of (q.answers || []).entries()) {
    const style = answer.right ? "right" : "wrong";
    const said = answer.wrote ? marked(answer.wrote, pattern) : ["(nothing)"];
    table.tBodies[0].append(row(`seed ${data.seeds[i]}`, make("span", style, answer.right ? "✓ " : "✗ ", ...said)));
  }
  for (const cell of table.querySelectorAll("th")) cell.scope = "row";
  return table;
}

function bet(q, answer, i) {
  const chosen = answer.choice === i;
  const mark = chosen ? (i === q.gold ? "✓ " : "✗ ") : "";
  const style = chosen ? (i === q.gold ? "p chosen right" : "p chosen wrong") : "p";
  const cell = make("td", style, `${mark}${(100 * answer.p[i]).toFixed(0)}%`);
  if (answer.p[i] < 0.03) return cell; // a bar of a pixel is a speck
  const bar = make("i");
  bar.style.width = `${Math.round(100 * answer.p[i])}%`;
  cell.append(bar);
  return cell;
}

function voice(i, [status, text], pattern) {
  const good = status === "ok";
  const told = make("span", good ? "status ok" : "status", good ? "kept" : status.replaceAll("_", " "));
  const node = make("div", "voice", make("header", "", make("b", "", data.teachers[i]), told));
  node.append(text ? make("p", good ? "" : "refused", ...marked(text, pattern)) : make("p", "refused", "no rationale"));
  return node;
}

function explanation(i, text, pattern) {
  const node = make("div", "voice own", make("header", "", make("b", "", `as ${data.teachers[i]}`)));
  node.append(text ? make("p", "", ...marked(text, pattern)) : make("p", "refused", "nothing"));
  return node;
}

// A voice's rationale, and the answer that it came to.
function reasoned(q, i, said, pattern) {
  const answer = ("choice" in said ? q.choices[said.choice] : said.wrote) || "(nothing)";
  const told = make("span", said.right ? "right" : "wrong", `${said.right ? "✓" : "✗"} `, ...marked(answer, pattern));
  const node = make("div", "voice own", make("header", "", make("b", "", `as ${data.teachers[i]}`), told));
  const empty = make("p", "refused", "no rationale");
  node.append(said.rationale ? make("p", "", ...marked(said.rationale, pattern)) : empty);
  return node;
}

function offer(field, value, label) {
  const option = make("option", "", label);
  option.value = value;
  field.append(option);
}

function statuses() {
  const names = new Set(data.questions.flatMap(q => (q.rationales || []).map(pair => pair[0])));
  return [...names].filter(name => name !== "ok").sort();
}

function turn(by) {
  show(start + by * PAGE);
  document.getElementById("questions").scrollIntoView();
}

// The figure as a file of its own, as `report/figures/` has it: every mark with its colours, light ones on white.
function on_paper(svg) {
  const copy = svg.cloneNode(true);
  const [width, height] = copy.getAttribute("viewBox").split(" ").slice(2).map(side => Number(side) + 2 * data.margin);
  copy.setAttribute("viewBox", `${-data.margin} ${-data.margin} ${width} ${height}`);
  for (const [selector, attributes] of data.paper) {
    for (const mark of [copy, ...copy.querySelectorAll("*")].filter(node => node.matches(selector))) {
      for (const [name, value] of Object.entries(attributes)) mark.setAttribute(name, value);
    }
  }
  for (const mark of copy.querySelectorAll("[class]")) mark.removeAttribute("class");
  const drawn = name => document.createElementNS(svg.namespaceURI, name);
  const [title, ground] = [drawn("title"), drawn("rect")];
  title.textContent = copy.getAttribute("aria-label");
  const size = { width, height };
  for (const [name, value] of Object.entries(size)) copy.setAttribute(name, value);
  const whole = { x: -data.margin, y: -data.margin, ...size, fill: "#ffffff" };
  for (const [name, value] of Object.entries(whole)) ground.setAttribute(name, value);
  copy.prepend(title, ground);
  return new XMLSerializer().serializeToString(copy) + "\n";
}

async function as_png(text) {
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = PNG_SCALE * image.width;
  canvas.height = PNG_SCALE * image.height;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise(done => canvas.toBlob(done, "image/png"));
}

async function save(figure, ending) {
  const text = on_paper(figure.querySelector("svg"));
  const blob = ending === "svg" ? new Blob([text], { type: "image/svg+xml" }) : await as_png(text);
  const link = make("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${figure.dataset.figure}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function offer_files(figure) {
  const row = make("p", "save");
  for (const ending of ["svg", "png"]) {
    const button = make("button", "", ending.toUpperCase());
    button.type = "button";
    button.name = `${figure.dataset.figure}.${ending}`;
    button.setAttribute("aria-label", `Save the figure ${figure.dataset.figure} as ${ending.toUpperCase()}`);
    button.addEventListener("click", () => save(figure, ending));
    row.append(button);
  }
  figure.append(row);
}

document.querySelectorAll("figure[data-figure]").forEach(offer_files);
data.teachers.forEach((name, i) => offer(fields.teacher, String(i), name));
offer(fields.status, "ok", "kept");
offer(fields.status, "refused", "quarantined, for any reason");
for (const name of statuses()) offer(fields.status, name, name.replaceAll("_", " "));
form.addEventListener("input", apply);
form.addEventListener("submit", event => event.preventDefault());
document.getElementById("previous").addEventListener("click", () => turn(-1));
for (const id of ["next", "more"]) document.getElementById(id).addEventListener("click", () => turn(1));
const by_id = new Map(data.questions.map(q => [q.id, q]));
const examples = document.getElementById("examples");
if (examples) examples.append(...data.examples.map(id => card(by_id.get(id), null)));
apply();
