// Light or dark colours: as the system has them, until the button is pressed.
/* global byId */

export function listenToTheme(changed) {
  const set = (theme) => {
    document.documentElement.dataset.theme = theme;
    byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
    byId("theme").setAttribute("aria-label", theme === "dark" ? "Light colours" : "Dark colours");
    changed();
  };
  const prefersDark = matchMedia("(prefers-color-scheme: dark)"), preferred = () => (prefersDark.matches ? "dark" : "light");
  prefersDark.addEventListener("change", () => set(preferred()));
  byId("theme").addEventListener("click", () => set(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  set(preferred());
}
