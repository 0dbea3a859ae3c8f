// The page of one campaign: the head, what needs a person, then panels that follow the campaign live.

import { get } from "./api.js";
import { AttentionPanel } from "./attention_panel.js";
import { Campaign } from "./campaign.js";
import { CampaignHead } from "./campaign_head.js";
import { button, fill, h, write } from "./element.js";
import { EventsPanel } from "./events_panel.js";
import { loadPlotly } from "./figure.js";
import { FiguresPanel } from "./figures_panel.js";
import { LatentPanel } from "./latent_panel.js";
import { QueuePanel } from "./queue_panel.js";
import { mayOperate } from "./session.js";
import { SettingsPanel } from "./settings_panel.js";
import { SteeringPanel } from "./steering_panel.js";
import { TracePanel } from "./trace_panel.js";
import { TrajectoryPanel } from "./trajectory_panel.js";
import { TrialPanel } from "./trial_panel.js";
import { TrialsPanel } from "./trials_panel.js";

const START_WAIT = 400;
const EARLY = {
  starting: "The campaign is starting: its driver prepares evaluator and workers …",
  failed: "It could not be started. Delete it, and start another one with other settings.",
  damaged: "Its journal cannot be read.",
};

/** Fills `main` with a campaign; `isWanted()` says whether anybody still waits for it. Returns what lets go of it. */
export async function openCampaign(main, { name, trial, isWanted }) {
  const campaign = new Campaign(name);
  const state = h("p", { class: "absent", role: "status" }, "Loading …");
  fill(main, h("h1", { tabindex: "-1" }, name), state);
  loadPlotly().catch(() => {}); // beside the data; a figure that wants it later says what is wrong
  await ready(campaign, main, state, isWanted);
  if (!isWanted()) return () => campaign.close();
  if (trial !== undefined && Number.isFinite(Number(trial))) campaign.chosen = Number(trial);
  const latent = campaign.add(new LatentPanel(campaign));
  const steering = campaign.add(new SteeringPanel(campaign, latent));
  const edit = mayOperate() ? (held) => steering.open(held) : null;
  const head = campaign.add(new CampaignHead(campaign));
  const attention = campaign.add(new AttentionPanel(campaign, edit));
  const [trace, trajectories, one, queue, events] = [
    new TracePanel(campaign),
    new TrajectoryPanel(campaign),
    new TrialPanel(campaign, edit),
    new QueuePanel(campaign),
    new EventsPanel(campaign),
  ].map((panel) => campaign.add(panel));
  // Three columns on a wall screen, two on a desk with the trial underneath, one on a phone: see layout.css.
  const columns = [[latent, events], [trace, trajectories], [one, queue]];
  const panels = columns.flat();
  const lower = [campaign.add(new TrialsPanel(campaign)), campaign.add(new FiguresPanel(campaign)), campaign.add(new SettingsPanel(campaign))];
  if (edit) {
    const open = button("Add trial …", () => steering.open(), { hidden: campaign.isDamaged });
    latent.element.querySelector(".tools").append(open);
    campaign.add({ update: () => (open.hidden = campaign.isDamaged) });
  }
  // The editor stands beside the map that it is used with.
  latent.element.append(steering.element);
  fill(main, head.element, attention.element, h("div", { class: "board three" }, columns.map((column) => h("div", { class: "column" }, column.map((panel) => panel.element)))), lower.map((panel) => panel.element));
  document.title = `${name} · latentloop`;
  return () => {
    campaign.close();
    for (const panel of [head, ...panels, ...lower]) panel.close?.();
  };
}

/** Loads a campaign; of one that is just being started, or could not be, there is nothing to see but that, and what can be done about it. */
async function ready(campaign, main, state, isWanted) {
  let head = null;
  try {
    while (isWanted()) {
      const detail = await get(["campaigns", campaign.name]);
      if (detail.last_event >= 0) {
        await campaign.load(detail);
        return;
      }
      campaign.detail = campaign.summary = detail;
      if (head) head.update({ summary: true });
      else {
        head = new CampaignHead(campaign, { isEarly: true });
        fill(main, head.element, state);
        main.closest("[aria-busy]")?.removeAttribute("aria-busy"); // it may stay so for long
        document.title = `${campaign.name} · latentloop`;
      }
      write(state, EARLY[detail.state] ?? "There is nothing to see of it.");
      await new Promise((resolve) => setTimeout(resolve, START_WAIT));
    }
  } finally {
    head?.close();
  }
}
