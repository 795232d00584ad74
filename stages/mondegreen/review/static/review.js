"use strict";

// The page works without this file: forms, links to sound. With it, the keyboard is enough, and the next case comes
// into the same page, so that its sound may play at once.

const main = document.getElementById("case");
const SPEEDS = [1, 0.75, 0.5];
const HOLD_EVERY = 60000; // ms
let writing = false; // whether the last case was left from within the text: the next one then begins there
let busy = false;
let speed = 0;
let held = Date.now();

const get = (id) => document.getElementById(id);
const sheet = () => get("sheet");
const text = () => get("text");
const sound = () => get("audio");

function announce(message) {
  get("status").textContent = "";
  requestAnimationFrame(() => { get("status").textContent = message; });
}

function complain(message) {
  const place = get("alert");
  place.textContent = message;
  place.hidden = !message;
}

async function post(where, fields) {
  const answer = await fetch(where, { method: "POST", body: new URLSearchParams(fields), headers: { "X-Part": "case" } });
  const body = await answer.text();
  if (!answer.ok) throw new Error(answer.status === 403 ? "The server was started again: open the page that it printed." : body);
  return body;
}

// -- deciding

async function send(where, fields) {
  if (busy) return;
  busy = true;
  main.setAttribute("aria-busy", "true");
  complain("");
  writing = document.activeElement === text();
  try {
    const next = await post(where, fields);
    if (sound()) sound().pause();
    main.innerHTML = next; // our own server's, escaped by its templates
    begin();
  } catch (error) {
    complain(error instanceof TypeError ? "The server does not answer; nothing was recorded. Is it still running?" : error.message);
  } finally {
    busy = false;
    main.removeAttribute("aria-busy");
  }
}

function decide(decision) {
  const form = get("form");
  if (!form.elements.decision) return press(form.querySelector(".main"));
  if (decision === "correct" && !text().value.trim()) {
    return complain("There is no text: X for silence, N for not speech, if nobody speaks.");
  }
  return send(form.action, { case: form.elements.case.value, taken: form.elements.taken.value, text: text().value, decision });
}

const undo = () => send(get("undo").formAction, {});
const press = (button) => { if (button) button.click(); };

main.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter;
  if (button && button.id === "undo") undo();
  else if (button && button.name !== "decision") send(event.target.action, {});
  else decide(button ? button.value : "correct");
});

// -- a case

function begin() {
  const said = get("said");
  const title = get("title").textContent;
  document.title = `Mondegreen: ${title.slice(0, 60)}`;
  if (said.textContent) announce(said.textContent);
  speed = 0;
  held = Date.now();
  if (sheet().getBoundingClientRect().top < 0) window.scrollTo(0, 0); // the case before was read to its end
  if (sound()) listen();
  if (text()) {
    fit();
    text().addEventListener("input", () => { get("form").elements.taken.value = ""; fit(); compare(); });
    if (writing) return edit();
  }
  sheet().focus({ preventScroll: true });
}

function edit() {
  text().focus({ preventScroll: true });
  text().setSelectionRange(text().value.length, text().value.length);
}

function fit() {
  text().style.height = "auto";
  text().style.height = `${text().scrollHeight + 4}px`;
}

function take(words, method) {
  text().value = words;
  get("form").elements.taken.value = method;
  fit();
  compare();
  announce(words);
}

let comparing = 0;
async function compare() {
  const turn = ++comparing;
  const form = get("form");
  try {
    const diff = await post("diff", { case: form.elements.case.value, text: text().value });
    if (turn === comparing) get("diff").innerHTML = diff; // escaped by the server
  } catch { /* the next decision says what is wrong */ }
}

async function hold() {
  if (!text() || Date.now() - held < HOLD_EVERY) return;
  held = Date.now();
  try {
    const kept = JSON.parse(await post("hold", { case: sheet().dataset.case }));
    if (!kept.held) complain("You were away for a while, and somebody else has this case now. What you save counts too.");
  } catch { /* the next decision says what is wrong */ }
}

// -- sound

function listen() {
  const audio = sound();
  audio.controls = false;
  audio.hidden = true;
  audio.addEventListener("timeupdate", show);
  audio.addEventListener("loadedmetadata", show);
  for (const name of ["play", "pause", "ended"]) audio.addEventListener(name, state);
  audio.addEventListener("error", silent);
  get("play").addEventListener("click", toggle);
  get("replay").addEventListener("click", replay);
  get("slower").addEventListener("click", slower);
  get("seek").addEventListener("input", () => { audio.currentTime = get("seek").value / 1000 * (audio.duration || 0); show(); });
  if (get("atonce").checked) audio.play().catch((error) => {
    if (error.name === "NotAllowedError" && audio === sound()) get("time").textContent = "Space plays";
  });
  draw();
}

async function silent() {
  const audio = sound();
  const note = get("noaudio");
  let why = "the browser cannot play it";
  try {
    const answer = await fetch(audio.src, { headers: { Range: "bytes=0-0" } });
    if (answer.status === 400) why = await answer.text();
  } catch { why = "the server does not answer"; }
  note.textContent = `There is no sound: ${why}.`;
  note.hidden = false;
  announce(note.textContent);
}

async function draw() {
  const shown = sheet();
  const answer = await fetch(`waveform?case=${encodeURIComponent(shown.dataset.case)}`);
  if (!answer.ok) return;
  const bars = await answer.json();
  const step = 720 / Math.max(1, bars.length);
  const path = bars.map((bar, at) => {
    const half = Math.max(0.8, bar * 0.3);
    return `M${(at * step).toFixed(1)} ${(32 - half).toFixed(1)}h${(step * 0.62).toFixed(1)}V${(32 + half).toFixed(1)}h-${(step * 0.62).toFixed(1)}z`;
  }).join("");
  for (const each of shown.querySelectorAll(".wave path")) each.setAttribute("d", path);
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
}

function show() {
  const audio = sound();
  if (!audio) return; // the last words of a case that is gone
  const whole = Number.isFinite(audio.duration) ? audio.duration : 0;
  const part = whole ? audio.currentTime / whole : 0;
  get("time").textContent = `${clock(audio.currentTime)} / ${clock(whole)}`;
  get("seek").value = Math.round(part * 1000);
  get("seek").setAttribute("aria-valuetext", `${audio.currentTime.toFixed(1)} of ${whole.toFixed(1)} seconds`);
  main.querySelector(".over").style.clipPath = `inset(0 ${(100 - part * 100).toFixed(2)}% 0 0)`;
}

function state() {
  if (!sound()) return;
  const playing = !sound().paused && !sound().ended;
  get("play").textContent = playing ? "❚❚" : "▶";
  get("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  if (playing) requestAnimationFrame(function follow() { if (sound() && !sound().paused) { show(); requestAnimationFrame(follow); } });
}

function toggle() {
  const audio = sound();
  if (!audio) return;
  if (audio.paused) audio.play().catch(() => {}); else audio.pause();
}

function replay() {
  const audio = sound();
  if (!audio) return;
  audio.currentTime = 0;
  audio.play().catch(() => {});
}

function slower() {
  if (!sound()) return;
  speed = (speed + 1) % SPEEDS.length;
  sound().playbackRate = SPEEDS[speed];
  get("speed").textContent = ["1×", "¾×", "½×"][speed];
  announce(`Speed ${get("speed").textContent}`);
}

function seek(seconds) {
  const audio = sound();
  if (!audio || !audio.duration) return;
  audio.currentTime = Math.min(audio.duration, Math.max(0, audio.currentTime + seconds));
  show();
}

// -- keys

const KEYS = {
  " ": toggle, r: replay, s: slower, ArrowLeft: () => seek(-2), ArrowRight: () => seek(2),
  e: () => text() && edit(), Enter: () => decide("correct"),
  x: () => decide("silence"), n: () => decide("not_speech"), u: () => decide("unsure"),
  b: () => decide("bad_audio"), k: () => decide("skip"), z: undo,
  "0": () => text() && take(text().dataset.original, ""),
  "?": () => { get("help").open = !get("help").open; if (get("help").open) get("help").scrollIntoView(); },
};

function keyWhileWriting(event) {
  if (event.key === "Enter" && !event.shiftKey) return () => decide("correct");
  if (event.key === "Escape") return () => sheet().focus({ preventScroll: true });
  if (event.key === " " && event.ctrlKey) return event.shiftKey ? replay : toggle;
  return null;
}

function keyElsewhere(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const here = document.activeElement;
  const button = here && here.closest("button, summary, a");
  if (button && (event.key === "Enter" || event.key === " ")) return null; // the button's own
  if (here && here.id === "seek" && event.key.startsWith("Arrow")) return null; // the slider's own
  if (/^[1-9]$/.test(event.key)) return () => press(main.querySelectorAll(".suggestion")[event.key - 1]);
  return KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
}

document.addEventListener("keydown", (event) => {
  hold();
  if (event.isComposing || event.repeat && !event.key.startsWith("Arrow")) return;
  const action = document.activeElement === text() && text() ? keyWhileWriting(event) : keyElsewhere(event);
  if (!action) return;
  event.preventDefault();
  action();
});

document.addEventListener("pointerdown", hold);

main.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.classList.contains("suggestion")) take(button.dataset.text, button.dataset.method);
  // a click with a pointer leaves the keys where they were: Space plays, it does not press the button again
  if (event.detail && button.type === "button") (writing ? text() : sheet()).focus({ preventScroll: true });
});

main.addEventListener("focusin", () => { if (text()) writing = document.activeElement === text(); });

begin();
