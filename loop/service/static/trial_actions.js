// What a person can do with a trial: approve, veto, edit, resolve, accept, note. Used by the attention panel and by the trial's own.

import { post } from "./api.js";
import { button } from "./element.js";
import { ask, attempt } from "./notice.js";
import { mayOperate } from "./session.js";
import { clean } from "./campaign_head.js";

/** The buttons for a trial in its state; `edit(trial)` opens the editor. */
export function trialActions(campaign, trial, edit) {
  if (!mayOperate() || campaign.isDamaged) return [];
  const act = async (verb, body, done) => {
    if (await attempt(() => post(["campaigns", campaign.name, "trials", trial.number, verb], body), done)) campaign.refresh();
  };
  const named = (text, action, kind = "") => button(text, action, { kind, "aria-label": `${text.replace(" …", "")} trial ${trial.number}` });
  const note = named("Note …", () => writeNote(act, trial));
  if (trial.state === "held") {
    return [
      named("Approve", () => act("approve", {}, `Trial ${trial.number} approved.`), "main"),
      named("Veto …", () => veto(act, trial), "danger"),
      edit ? named("Edit …", () => edit(trial)) : null,
      note,
    ];
  }
  if (trial.state === "unknown") return [named("Resolve …", () => resolve(act, trial, campaign), "main"), note];
  if (trial.state === "quarantined") return [named("Accept …", () => accept(act, trial), "main"), note];
  return [note];
}

async function veto(act, trial) {
  const answer = await ask({
    title: `Veto trial ${trial.number}?`,
    text: "It will not be measured, and the optimizer avoids its place.",
    fields: [{ name: "reason", label: "Reason", required: true, help: "Kept in the campaign's journal." }],
    confirm: "Veto",
    danger: true,
  });
  if (answer) await act("veto", answer, `Trial ${trial.number} vetoed.`);
}

async function accept(act, trial) {
  const answer = await ask({
    title: `Accept trial ${trial.number}?`,
    text: `It was quarantined: ${trial.reason || "no reason was given"}. Accepted, the optimizer learns from it.`,
    fields: [{ name: "reason", label: "Reason" }],
    confirm: "Accept",
  });
  if (answer) await act("accept", clean(answer), `Trial ${trial.number} accepted.`);
}

async function resolve(act, trial, campaign) {
  const metric = campaign.summary.metric;
  const answer = await ask({
    title: `What happened to trial ${trial.number}?`,
    text: "Nobody knows whether it fired. Look at the instrument, then say so here.",
    fields: [
      {
        name: "outcome",
        label: "Outcome",
        kind: "choice",
        value: "failed",
        choices: [["completed", "It was measured, and I have the value"], ["failed", "It gave nothing"], ["repeat", "It did not fire: measure it again"]],
      },
      { name: "value", label: `Value of ${metric}`, kind: "number", help: "Only where it was measured." },
      { name: "reason", label: "Reason" },
    ],
    confirm: "Resolve",
    check: ({ outcome, value }) => (outcome === "completed" && !Number.isFinite(value) ? `Write down the value of ${metric}, or choose another outcome.` : ""),
  });
  if (!answer) return;
  const { value, ...rest } = clean(answer);
  await act("resolve", rest.outcome === "completed" ? { ...rest, metrics: { [metric]: value } } : rest, `Trial ${trial.number} resolved.`);
}

async function writeNote(act, trial) {
  const answer = await ask({
    title: `Note on trial ${trial.number}`,
    fields: [{ name: "text", label: "Note", kind: "long", required: true }],
    confirm: "Add note",
  });
  if (answer) await act("note", answer, "Note added.");
}
