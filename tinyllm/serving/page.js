"use strict";
// The page to try a student. Whatever the student says reaches the page as a text node: no string of it is ever parsed.

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const form = document.getElementById("form");
const options = document.getElementById("options");
const answer = document.getElementById("answer");
const example = document.getElementById("example");
let questions = [];
let next = 0;

function make(tag, style, ...parts) {
  const node = document.createElement(tag);
  if (style) node.className = style;
  node.append(...parts);
  return node;
}

function percent(share) {
  const shown = (100 * share).toFixed(1);
  if (share > 0 && shown === "0.0") return "<0.1%";
  if (share < 1 && shown === "100.0") return ">99.9%";
  return `${shown}%`;
}

function letter_options() {
  [...options.children].forEach((row, i) => {
    row.firstChild.textContent = LETTERS[i];
    row.querySelector("input").setAttribute("aria-label", `Option ${LETTERS[i]}`);
    row.querySelector("button").setAttribute("aria-label", `Remove option ${LETTERS[i]}`);
  });
  document.getElementById("add").disabled = options.children.length === LETTERS.length;
}

function add_option(text) {
  const input = make("input");
  input.type = "text";
  input.value = text;
  const remove = make("button", "", "×");
  remove.type = "button";
  const row = make("li", "", make("span"), input, remove);
  remove.addEventListener("click", () => { row.remove(); letter_options(); });
  options.append(row);
  letter_options();
  return input;
}

function fill(question) {
  form.elements.question.value = question.question;
  form.elements.context.value = question.context;
  options.replaceChildren();
  question.choices.forEach(add_option);
  letter_options();
}

function show_example() {
  fill(questions[next]);
  next = (next + 1) % questions.length;
  answer.replaceChildren(make("p", "note", "The answer comes here."));
}

function odds(choices, told) {
  const rows = choices.map((choice, i) => {
    const bar = make("i");
    bar.style.width = `${100 * told.probabilities[i]}%`;
    const track = make("span", "track", bar);
    const row = make("li", i === told.choice ? "chosen" : "", make("span", "", choice), make("b", "", percent(told.probabilities[i])), track);
    return row;
  });
  return make("ol", "odds", ...rows);
}

function voice(name, aside, text) {
  const words = text ? make("p", "", text) : make("p", "silent", "(nothing)");
  return make("article", "voice", make("header", "", make("b", "", name), make("span", "note", aside)), words);
}

function show(choices, told) {
  const parts = [make("p", "said", told.answer || "(nothing)")];
  if (told.probabilities) parts.push(odds(choices, told));
  if (told.context_cut) parts.push(make("p", "note", "The context was too long: its head was not read."));
  const said = Object.entries(told.voices || {});
  const wrote = Object.entries(told.rationales || {});
  if (said.length) parts.push(make("h2", "", "What each voice says"));
  for (const [name, one] of said) {
    const vote = one.weight ? `${percent(one.weight)} of the vote` : "no vote";
    parts.push(voice(name, `${one.answer || "no answer"} · ${vote}`, one.rationale));
  }
  if (wrote.length) parts.push(make("h2", "", "How it explains"));
  for (const [name, text] of wrote) parts.push(voice(name, "", text));
  answer.replaceChildren(...parts);
}

async function ask(event) {
  event.preventDefault();
  const choices = [...options.querySelectorAll("input")].map(input => input.value).filter(text => text.trim());
  const body = {
    model: "student",
    messages: [{ role: "user", content: form.elements.question.value }],
    choices,
    context: form.elements.context.value,
    voices: form.elements.voices.checked,
  };
  const button = document.getElementById("ask");
  button.disabled = true;
  answer.setAttribute("aria-busy", "true");
  try {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch("v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body) });
    const reply = await response.json();
    if (response.ok) show(choices, reply.choices[0].student);
    else answer.replaceChildren(make("p", "failed", reply.error.message));
  } catch (error) {
    answer.replaceChildren(make("p", "failed", "The server gave no answer. Is it running still?"));
  } finally {
    button.disabled = false;
    answer.setAttribute("aria-busy", "false");
  }
}

async function start() {
  add_option("");
  add_option("");
  form.addEventListener("submit", ask);
  document.getElementById("add").addEventListener("click", () => add_option("").focus());
  example.addEventListener("click", show_example);
  const told = await (await fetch("page.json")).json();
  document.getElementById("student").textContent = told.student;
  document.getElementById("explain").hidden = !told.voices.length;
  form.elements.voices.checked = told.voices.length > 0;
  questions = told.questions;
  if (questions.length) {
    example.hidden = false;
    show_example();
  }
}

start();
