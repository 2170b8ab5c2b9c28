// Cards of text and bars: who waits, replay, learners, actors, versions, log.

import { count, html, number, percent, ratio as ratioText, refresh, short, span, title } from "./dom.js";

const LATE_SECONDS = 20;
const SILENT_SECONDS = 60;
const MOST_PLAYED = 6;

/** Fill all cards. */
export function showCards(state) {
  showWaits(document.getElementById("waits"), state);
  showFill(document.getElementById("fill"), state);
  showLearners(document.getElementById("learners"), state);
  showVersions(document.getElementById("versions"), state);
  showActors(document.getElementById("actors"), state);
  showLog(document.getElementById("log"), state);
}

function panel(element, heading, key, body) {
  refresh(element, [heading, key], () => [html("h3", {}, heading), ...body()]);
}

const empty = (text) => html("p", { class: "empty" }, text);

function meter(name, share, text) {
  const bar = html("span", { class: "bar plain" });
  bar.style.transform = `scaleX(${Math.max(0, Math.min(1, share))})`;
  return html(
    "div",
    { class: "meter" },
    html("span", {}, name),
    html("span", { class: "track" }, bar),
    html("span", { class: "amount" }, text),
  );
}

const pair = (name, value) => html("div", { class: "pair" }, html("dt", {}, name), html("dd", {}, `${value}`));

/** Return a player's name with its colour before it. */
const who = (name, tag = "strong") => html(tag, { class: `who ${name === "student" ? "student" : "teacher"}` }, name);

const WAITS = { learner: "waits for data", feed: "waits for the learner", actors: "wait for room in the buffer" };

function showWaits(element, { waits, learners }) {
  panel(element, "Who waits for whom", waits, () => {
    if (!waits.length) return [empty("Known once the run has reported twice.")];
    const longest = waits.reduce((a, b) => (b.share > a.share ? b : a));
    const several = learners.length > 1;
    const name = (wait) => {
      if (wait.who === "actors") return "Actors";
      return `${several ? `${wait.lineage}: ` : ""}${wait.who === "learner" ? "Learner" : "Feed"}`;
    };
    const verdict =
      longest.share < 0.05
        ? "Nobody waits."
        : longest.who === "learner"
          ? "The actors are the slower side: the learner waits for them."
          : "The learner is the slower side: the others wait for it.";
    return [
      html("p", {}, verdict),
      ...waits.map((wait) => meter(`${name(wait)} ${WAITS[wait.who]}`, wait.share, percent(wait.share))),
      html("p", { class: "muted note" }, "Share of the last minute that was reported."),
    ];
  });
}

function showFill(element, { games }) {
  const key = games.map(({ game, transitions, replay }) => [game, transitions, replay]);
  panel(element, "Replay", key, () => {
    if (!games.some(({ transitions }) => transitions)) return [empty("No transition arrived yet.")];
    const note = (text) => html("p", { class: "muted note" }, text);
    if (games.every(({ replay }) => replay === null)) {
      return [
        html("dl", { class: "pairs" }, ...games.map((game) => pair(title(game.game), count(game.transitions)))),
        note("Transitions learned from; this kind of run does not report how full its replay is."),
      ];
    }
    return [
      ...games.map(({ game, replay, capacity }) =>
        meter(title(game), (replay ?? 0) / capacity, `${short(replay ?? 0)} of ${short(capacity)}`),
      ),
      note("Transitions in the learner’s memory, by game."),
    ];
  });
}

function showLearners(element, { learners }) {
  const heading = learners.length > 1 ? "Learners" : "Learner";
  panel(
    element,
    heading,
    learners.map(({ curves, ...rest }) => rest),
    () => {
      if (!learners.length) return [empty("No learner reported yet.")];
      return learners.map((learner) => {
        const facts = [
          pair("Updates", count(learner.updates)),
          pair("Loss", byGame(learner.loss) || "–"),
          pair("Version", learner.version || "none yet"),
          pair("Refused chunks", count(Object.values(learner.rejected_chunks).reduce((a, b) => a + b, 0))),
          pair("Skipped updates", count(learner.nonfinite_updates)),
        ];
        if (learner.lag) facts.push(pair("Versions behind", byGame(learner.lag)));
        if (learners.length > 1) facts.unshift(html("div", { class: "pair" }, who(learner.lineage, "dt"), html("dd")));
        return html("dl", { class: "pairs", "aria-label": learner.lineage }, ...facts);
      });
    },
  );
}

const byGame = (values) =>
  Object.entries(values)
    .map(([game, value]) => `${title(game)} ${number(value)}`)
    .join(", ");

function showVersions(element, { lineages, games, ratio, now }) {
  const played = newestPlayed(games, ratio);
  panel(element, "Versions and promotions", [lineages, played, Math.floor(now / 60)], () => {
    if (!lineages.length) return [empty("No version was published yet.")];
    const parts = lineages.flatMap(({ lineage: name, names, versions, promotions }) => {
      const named = Object.entries(names).map(([alias, version]) => `${alias} ${version}`);
      const counted = `${count(versions)} ${versions === 1 ? "version" : "versions"}`;
      const head = html("p", {}, who(name), ` ${[counted, ...named].join(", ")}`);
      return promotions.length ? [head, events(promotions.map((promotion) => promoted(promotion, now)))] : [head];
    });
    if (played.length)
      parts.push(
        html("p", { class: "muted" }, ratio.length ? "Newest evaluations: ratio, scores" : "Newest evaluations"),
        events(played),
      );
    return parts;
  });
}

/** Return a list of times, or other short words, each with a text. */
function events(rows) {
  const item = ([when, text, kind]) => html("li", { class: kind }, html("time", {}, when), html("span", {}, text));
  return html("ol", { class: "events" }, ...rows.map(item));
}

function promoted({ version, parent, kind, why, time }, now) {
  const what = kind === "promotion" ? "Promoted" : "Rolled back to";
  return [`${span(now - time)} ago`, `${what} ${version}${parent === null ? "" : ` after ${parent}`}: ${why}`];
}

/** Return the newest evaluated versions with their scores, newest first. */
function newestPlayed(games, ratio) {
  const means = new Map(ratio);
  const found = new Map();
  for (const { game, scores } of games) {
    for (const point of scores.student.length ? scores.student : scores.candidate) {
      const of = means.has(point.minutes) ? `${ratioText(means.get(point.minutes))} · ` : "";
      const before = found.get(point.version);
      found.set(point.version, `${before ? `${before}, ` : of}${title(game)} ${number(point.mean)}`);
    }
  }
  const newest = [...found].sort(([a], [b]) => b - a).slice(0, MOST_PLAYED);
  return newest.map(([version, text]) => [`version ${version}`, text]);
}

const TIMES = ["inference", "environment", "push", "wait"];

function showActors(element, { actors, restarts, run, now }) {
  // They have nothing to do any more while a run plays its final evaluation.
  const ended = run.state === "finished" || run.fraction === 1;
  const ages = actors.map(({ time }) => (ended ? null : now - time));
  const health = ages.map(healthAt);
  panel(element, "Actors", [actors, restarts, ages.map((age) => age && Math.round(age / 5))], () => {
    if (!actors.length) return [empty("No actor reported yet.")];
    const replaced = Object.entries(restarts)
      .map(([role, times]) => `${role} ${times}`)
      .join(", ");
    const key = TIMES.map((name) => html("span", {}, html("span", { class: `swatch part ${name}` }), name));
    return [
      html("p", {}, replaced ? `Started again: ${replaced}.` : "None had to be started again."),
      ...actors.map((actor, i) => actorRow(actor, health[i], ages[i])),
      html("p", { class: "key muted" }, ...key),
    ];
  });
}

function healthAt(age) {
  if (age === null) return "ended";
  if (age < LATE_SECONDS) return "healthy";
  return age < SILENT_SECONDS ? "late" : "silent";
}

function actorRow(actor, health, age) {
  const total = TIMES.reduce((sum, name) => sum + (actor.seconds[name] ?? 0), 0) || 1;
  const shares = TIMES.map((name) => (actor.seconds[name] ?? 0) / total);
  const told = TIMES.map((name, i) => `${name} ${percent(shares[i])}`).join(", ");
  const parts = TIMES.map((name, i) => {
    const part = html("span", { class: `part ${name}` });
    part.style.flexGrow = shares[i];
    return part;
  });
  const rate = actor.per_second === null ? null : `${number(actor.per_second)} transitions/s`;
  const details = [
    age !== null && `reported ${span(age)} ago`,
    `${count(actor.episodes)} episodes`,
    actor.full && `found the buffer full ${count(actor.full)} times`,
    actor.outages && `missed it ${count(actor.outages)} times`,
  ].filter(Boolean);
  return html(
    "div",
    { class: "actor" },
    html(
      "span",
      { class: `health ${health}` },
      html("span", { class: "dot" }),
      `${actor.name} `,
      html("span", { class: "muted" }, health),
    ),
    html("span", { class: "amount" }, rate ?? `${short(actor.transitions)} transitions`),
    html("span", { class: "parts", title: told, role: "img", "aria-label": told }, ...parts),
    html("span", { class: "muted" }, details.join(", ")),
  );
}

function showLog(element, { log }) {
  panel(element, "Log", log, () => {
    if (!log.length) return [empty("Nothing was logged yet.")];
    return [events(log.map(({ time, level, text }) => [time, text, level.toLowerCase()]))];
  });
}
