// Rules for the JavaScript of the map; `python tests/lint_js.py` copies this file to where ESLint is.
import js from "@eslint/js";
import globals from "globals";

const rules = { ...js.configs.recommended.rules, eqeqeq: "error", "no-var": "error", "prefer-const": "error", "no-shadow-restricted-names": "error" };

// What Gradio hands to the script of an element.
const handed = Object.fromEntries(["element", "props", "trigger", "watch", "server"].map((name) => [name, "readonly"]));

export default [
  { files: ["component/*.js"], languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals.browser }, rules },
  { files: ["page/*.js"], languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: { ...globals.browser, ...handed } }, rules },
];
