/* The transcripts browser: draws one conversation of `aloeTranscripts` (aloe/transcript_browser.py). Every text is set as
   text and never as HTML. Data of a policy come with a script of its own, because a page from disk may not fetch. */
(() => {
  "use strict";
  const data = typeof aloeTranscripts === "undefined" ? null : aloeTranscripts;
  const part = (name) => document.getElementById(`aloe-${name}`);
  if (!data) {
    part("missing").hidden = false;
    return;
  }
  const choices = ["policy", "profile", "personality", "turn", "level"];
  const turns = Math.max(1, ...data.cases.map((one) => one[5].length));
  let shown = []; // places in data.cases that the filters leave

  const make = (tag, text = "", name = "") => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const fill = (name, all, texts) => {
    const options = texts.map((text, i) => new Option(text, String(i)));
    part(name).replaceChildren(...(all ? [new Option(all, "")] : []), ...options);
  };
  const short = (text) => (text.length > 60 ? `${text.slice(0, 57)}...` : text);
  const chosen = (name) => (part(name).value === "" ? null : Number(part(name).value));
  const until = () => (chosen("turn") === null ? turns : chosen("turn") + 1);

  const name = (place) => {
    const [policy, , id, , , levels] = data.cases[place];
    const given = levels.filter((level) => level !== null);
    const mean = given.length ? (given.reduce((a, b) => a + b, 0) / given.length).toFixed(1) : "none";
    return `${data.policies[policy]}: ${id}, mean level ${mean}`;
  };

  const fits = (one) => {
    const [policy, profile, personality, turn, level] = choices.map(chosen);
    const [, later, other] = one[6] ?? [];
    const levels = turn === null ? one[5] : [one[5][turn] ?? null];
    return (policy === null || one[0] === policy) && (profile === null || one[3] === profile || later === profile) &&
      (personality === null || one[4] === personality || other === personality) &&
      (level === null || levels.some((got) => got !== null && Math.round(got) === level + 1));
  };

  const filter = (wanted) => {
    shown = data.cases.map((_, place) => place).filter((place) => fits(data.cases[place]));
    part("case").replaceChildren(...shown.map((place) => new Option(name(place), String(place))));
    if (shown.includes(wanted)) part("case").value = String(wanted);
    show();
  };

  const show = () => {
    const place = chosen("case");
    const at = shown.indexOf(place);
    part("before").disabled = at <= 0;
    part("next").disabled = at < 0 || at === shown.length - 1;
    part("status").textContent = at < 0 ? "No conversation fits." : `Conversation ${at + 1} of ${shown.length}.`;
    if (at < 0) {
      part("persona").replaceChildren();
      part("dialogue").replaceChildren();
      return;
    }
    const policy = data.cases[place][0];
    if (data.dialogues[policy]) {
      draw(place);
      return;
    }
    const script = document.createElement("script");
    script.src = `../transcripts/${policy}.js`;
    script.onload = () => chosen("case") === place && draw(place);
    script.onerror = () => { part("missing").hidden = false; };
    document.head.append(script);
  };

  const draw = (place) => {
    const [policy, row, id, profile, personality, , change] = data.cases[place];
    const dialogue = data.dialogues[policy][row];
    const [from, laterProfile, laterPersonality] = change ?? [dialogue.length + 1];
    const last = Math.min(until(), dialogue.length);
    const people = persona(data.profiles[profile], data.personalities[personality], dialogue, 1, Math.min(last, from - 1));
    if (last >= from) {
      people.push(make("p", `From turn ${from} on the user is somebody else:`, "aloe-note"));
      people.push(...persona(data.profiles[laterProfile], data.personalities[laterPersonality], dialogue, from, last));
    }
    part("persona").replaceChildren(...people);
    const parts = dialogue.slice(0, last).map((turn, i) => {
      const who = data.profiles[i + 1 < from ? profile : laterProfile];
      return said(turn, i, data.policies[policy], who, i + 1 === from);
    });
    if (chosen("turn") > 0 && parts.length > 1) {
      const earlier = make("details");
      earlier.append(make("summary", `Turns before turn ${parts.length}`), ...parts.splice(0, parts.length - 1));
      parts.unshift(earlier);
    }
    part("dialogue").replaceChildren(...parts);
    const turn = chosen("turn") === null ? "" : `/${chosen("turn") + 1}`;
    history.replaceState(null, "", `#${encodeURIComponent(data.policies[policy])}/${encodeURIComponent(id)}${turn}`);
  };

  const persona = (profile, personality, dialogue, first, last) => {
    const told = new Map();
    dialogue.slice(first - 1, last).forEach((turn, i) => turn[2].forEach((fact) => told.set(fact, first + i)));
    const facts = make("ul");
    profile.pieces.forEach(([text, fact]) => {
      const item = make("li");
      item.append(told.has(fact) ? make("mark", text) : text);
      if (told.has(fact)) item.append(make("span", ` told at turn ${told.get(fact)}`, "aloe-note"));
      facts.append(item);
    });
    const total = profile.pieces.filter((piece) => piece[1] !== null).length;
    return [
      make("h3", `Profile ${profile.id}`),
      make("p", `${told.size} of ${total} facts told by turn ${last}; those are marked.`),
      facts, make("h3", `Personality ${personality.id}`), make("p", personality.text, "aloe-text"),
    ];
  };

  const said = ([user, reply, told, scores], i, policy, profile, changed) => {
    const turn = make("article", "", "aloe-turn");
    turn.append(make("h3", `Turn ${i + 1}`));
    if (changed) turn.append(make("p", "From here on the user is somebody else.", "aloe-note"));
    turn.append(bubble("user", user, "aloe-user"));
    const facts = profile.pieces.filter((piece) => told.includes(piece[1])).map((piece) => piece[0]);
    if (facts.length) turn.append(make("p", `tells: ${facts.join(" ")}`, "aloe-note"));
    const answer = make("div", "", "aloe-answer");
    answer.append(bubble(policy, reply || "(no reply)", "aloe-policy"), judged(scores));
    turn.append(answer);
    return turn;
  };

  const bubble = (who, text, kind) => {
    const box = make("div", "", `aloe-bubble ${kind}`);
    box.append(make("div", who, "aloe-note"), make("div", text, "aloe-text"));
    return box;
  };

  const judged = (rows) => {
    const list = make("ul", "", "aloe-scores");
    if (!rows.length) list.append(make("li", "no score"));
    rows.forEach(([judge, ...numbers]) => numbers.forEach((number, i) => {
      const [column, label] = data.scores[i];
      const value = number === null ? "none" : column.startsWith("level") ? `${number} of 5` : String(number);
      const by = data.judges.length > 1 ? ` (${data.judges[judge]})` : "";
      const item = make("li", `${label}${by}: `);
      item.append(make("strong", value));
      list.append(item);
    }));
    return list;
  };

  const step = (by) => {
    const next = shown[shown.indexOf(chosen("case")) + by];
    if (next === undefined) return;
    part("case").value = String(next);
    show();
  };

  const follow = () => {
    let asked = [];
    try {
      asked = location.hash.slice(1).split("/").map(decodeURIComponent);
    } catch { /* an address that somebody has mistyped: begin as without one */ }
    const place = data.cases.findIndex((one) => data.policies[one[0]] === asked[0] && one[2] === asked[1]);
    if (place < 0) return data.first;
    choices.forEach((choice) => { part(choice).value = ""; });
    part("policy").value = String(data.cases[place][0]);
    if (asked[2]) part("turn").value = String(Number(asked[2]) - 1);
    return place;
  };

  fill("policy", "all policies", data.policies);
  fill("profile", "all profiles", data.profiles.map((one) => short(`${one.id}: ${one.pieces.map((p) => p[0]).join(" ")}`)));
  fill("personality", "all personalities", data.personalities.map((one) => short(`${one.id}: ${one.text}`)));
  fill("turn", "all turns", Array.from({ length: turns }, (_, i) => `turn ${i + 1}`));
  fill("level", "any level", ["1", "2", "3", "4", "5"]);
  choices.forEach((choice) => part(choice).addEventListener("change", () => filter(chosen("case"))));
  part("case").addEventListener("change", show);
  part("before").addEventListener("click", () => step(-1));
  part("next").addEventListener("click", () => step(1));
  window.addEventListener("hashchange", () => filter(follow()));
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("#aloe-dialogue details").forEach((earlier) => { earlier.open = true; });
  });
  part("browser").hidden = false;
  filter(follow());
})();
