// Runs before the first paint, so that a dark page never flashes white.
try {
  const theme = localStorage.getItem("hearth.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is blocked: the system's colours are used.
}
