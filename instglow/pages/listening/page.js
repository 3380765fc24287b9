"use strict";
// The page works without this: it adds that one player silences the others, and the keys.

const SKIP = 5; // seconds
const players = [...document.querySelectorAll("audio")];
const rowOf = (player) => [...player.closest("tr").querySelectorAll("audio")];

// "play" and its like do not bubble, hence the capturing listeners (true).
document.addEventListener("play", ({ target }) => {
  for (const other of players) {
    if (other !== target) other.pause();
  }
  // What may be compared next is fetched now, so that the change is not heard as a gap.
  for (const other of rowOf(target)) other.preload = "auto";
  target.closest("td").classList.add("playing");
}, true);

document.addEventListener("pause", ({ target }) => {
  target.closest("td").classList.remove("playing");
}, true);

document.addEventListener("timeupdate", ({ target }) => {
  const played = target.duration ? target.currentTime / target.duration : 0;
  target.closest("td").style.setProperty("--played", played);
}, true);

function compare(player, step) {
  const row = rowOf(player);
  const next = row[(row.indexOf(player) + step + row.length) % row.length];
  if (next === player) return;
  const playing = !player.paused;
  player.pause(); // now, not when the other's "play" arrives: it would run on past the position
  next.currentTime = player.currentTime;
  next.focus();
  // Rejected where the next key comes before the sound: nothing is wrong then.
  if (playing) next.play().catch(() => {});
}

document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
  // Safari does not focus a player that is clicked; then the one that plays is meant.
  const player = event.target.closest("audio") ?? players.find((each) => !each.paused);
  if (!player) return;
  event.preventDefault();
  if (event.shiftKey) player.currentTime += step * SKIP;
  else compare(player, step);
}, true);

document.getElementById("keys").hidden = false;
