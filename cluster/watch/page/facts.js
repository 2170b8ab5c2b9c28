// The key figures above the games, and the curves of the whole run below them.

import { Chart } from "./chart.js";
import { html, minutes, number, percent, ratio as ratioText, short, title, write } from "./dom.js";

const LATEST = "Student";
const RESULT = "Of the teacher";
const CELLS = ["Progress", LATEST, RESULT, "Updates per second", "Transitions per second", "Samples per transition"];

/** The strip of key figures. */
export class Facts {
  constructor(host) {
    this.cells = {};
    for (const name of CELLS) {
      const value = html("dd", { class: "value" }, "–");
      const note = html("dd", { class: "muted" }, " ");
      this.cells[name] = { term: html("dt", {}, name), value, note };
      host.append(html("div", { class: "fact" }, this.cells[name].term, value, note));
    }
    this.bar = html("span", { class: "bar plain" });
    this.cells.Progress.note.before(html("dd", { class: "track", "aria-hidden": "true" }, this.bar));
  }

  update(state) {
    const [main] = state.learners;
    const { fraction } = state.run;
    const time = main ? timeOf(main.seconds / 60, state.settings.minutes) : "";
    this.set(
      "Progress",
      fraction === null ? (main ? short(main.updates) : "–") : percent(fraction),
      main ? `${short(main.updates)} updates, ${time}` : "no update yet",
    );
    this.bar.style.transform = `scaleX(${fraction ?? 0})`;
    const lineage = state.lineages.find((entry) => entry.lineage === main?.lineage) ?? state.lineages[0];
    write(this.cells[LATEST].term, state.titles.student);
    this.set(
      LATEST,
      lineage?.names.latest ? `version ${lineage.names.latest}` : "–",
      lineage?.names.best ? `best is ${lineage.names.best}` : lineage ? "none is the best yet" : "no version was published yet",
    );
    this.result(state);
    const rates = main?.curves;
    const newest = (key) => rates?.[key].findLast((value) => value !== null) ?? null;
    const who = main?.lineage === "student" ? "the student’s learner" : "the Q-learner";
    this.set("Updates per second", number(newest("updates_per_second")), main ? who : "no learner reported yet");
    this.set("Transitions per second", number(newest("transitions_per_second")), "taken in by the learner");
    const target = main?.target ? `aimed at ${number(main.target)}` : "no aim";
    this.set("Samples per transition", number(main?.sample_to_insert_ratio), target);
  }

  /** Show how good the student is, or, where nobody is distilled, how good the best is. */
  result({ run, games, ratio }) {
    if (run.command === "teach") {
      const best = games.length === 1 ? games[0].scores.teacher.at(-1) : undefined;
      write(this.cells[RESULT].term, "Best score");
      const none = games.length > 1 ? "see the games" : "nothing was promoted yet";
      this.set(RESULT, number(best?.[1]), best ? "when it was promoted" : none);
      return;
    }
    const newest = ratio.at(-1)?.[1];
    const highest = Math.max(...ratio.map(([, value]) => value));
    write(this.cells[RESULT].term, games.length > 1 ? "Of the teachers" : "Of the teacher");
    const of = games.length > 1 ? "mean of the games, " : "";
    this.set(
      RESULT,
      ratioText(newest),
      newest === undefined ? "no evaluation to compare yet" : `${of}highest ${ratioText(highest)}`,
    );
  }

  set(name, value, note) {
    write(this.cells[name].value, value);
    write(this.cells[name].note, note);
  }
}

/** Return minutes, and of how many if that is known. */
function timeOf(spent, budget) {
  if (!budget) return minutes(spent);
  const [unit, name] = budget >= 120 ? [60, "h"] : [1, "min"];
  return `${number(Math.round((10 * spent) / unit) / 10)} of ${number(budget / unit)} ${name}`;
}

/** Curves of the whole run. */
export class Curves {
  constructor() {
    this.ratio = card("ratio", new Chart("Ratio to the teacher", "No evaluation yet to compare with a teacher."));
    this.updates = card("updates", new Chart("Updates per second", "No update yet."));
    this.transitions = card("transitions", new Chart("Transitions per second", "No transition arrived yet."));
  }

  update({ games, ratio, learners }) {
    const several = games.length > 1 && ratio.length > 0;
    const single = games.map(({ game, scores }) => ({
      name: title(game),
      role: several ? "student thin" : "student",
      points: scores.ratio,
      dots: !several,
    }));
    const mean = several ? [{ name: "mean", role: "student", points: ratio, dots: true }] : [];
    const end = Math.max(0, ...single.flatMap(({ points }) => points.map(([x]) => x)));
    const one =
      end > 0
        ? [
            {
              name: "teacher",
              role: "teacher",
              points: [
                [0, 1],
                [end, 1],
              ],
            },
          ]
        : [];
    this.ratio.update([...mean, ...single, ...one]);
    for (const [chart, key] of [
      [this.updates, "updates_per_second"],
      [this.transitions, "transitions_per_second"],
    ]) {
      chart.update(
        learners.map(({ lineage, curves }) => ({
          name: learners.length > 1 ? lineage : "now",
          role: lineage === "student" ? "student" : "candidate",
          points: curves.minutes.map((at, i) => [at, curves[key][i]]),
        })),
      );
    }
  }
}

function card(id, chart) {
  document.getElementById(id).append(chart.element);
  return chart;
}
