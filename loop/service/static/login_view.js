// Logging in with a token. The token goes to the service once and comes back as a cookie that scripts cannot read.

import { field, fill, h, write } from "./element.js";
import { login } from "./session.js";

/** Fills `main` with the login form; `then()` is called when it has worked. */
export function openLogin(main, { then }) {
  const token = h("input", { type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  const refused = h("p", { class: "refused", role: "alert" });
  const submit = h("button", { type: "submit", class: "main" }, "Log in");
  const form = h(
    "form",
    { class: "panel login", novalidate: true },
    h("h1", { tabindex: "-1" }, "Log in"),
    h("p", { class: "soft" }, "With a token that was made by ", h("code", {}, "latentloop token create"), "."),
    field("Token", token),
    refused,
    submit,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    write(refused, "");
    if (!token.value.trim()) {
      write(refused, "A token is needed.");
      token.focus();
      return;
    }
    submit.disabled = true;
    try {
      await login(token.value.trim());
      then();
    } catch (error) {
      write(refused, error.message);
      token.select();
    } finally {
      submit.disabled = false;
    }
  });
  fill(main, form);
  document.title = "Log in · latentloop";
  return () => {};
}
