// Runs before the first paint, so that a chosen theme does not flash.
"use strict";

const THEME_KEY = "distill-watch-theme";

function chosenTheme() {
  try {
    return localStorage.getItem(THEME_KEY) ?? "auto";
  } catch {
    return "auto"; // storage can be switched off
  }
}

document.documentElement.dataset.theme = chosenTheme();

addEventListener("DOMContentLoaded", () => {
  for (const radio of document.querySelectorAll("#theme input")) {
    radio.checked = radio.value === chosenTheme();
    radio.addEventListener("change", () => {
      document.documentElement.dataset.theme = radio.value;
      try {
        localStorage.setItem(THEME_KEY, radio.value);
      } catch {
        // the choice then lasts until the page is left
      }
    });
  }
});
