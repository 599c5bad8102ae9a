// The dialog that asks for the token. It stays in this tab's session and is sent to this listener alone.

import { byId } from "./dom.js";

let asked = null;

/** The token that a person gives. All who ask at once get the same. */
export function askForToken(wasWrong) {
  asked ??= new Promise((give) => {
    const [dialog, field] = [byId("ask"), byId("token")];
    byId("ask-fault").hidden = !wasWrong;
    field.value = "";
    const submitted = (event) => {
      event.preventDefault();
      byId("ask-form").removeEventListener("submit", submitted);
      dialog.close();
      asked = null;
      give(field.value.trim());
    };
    byId("ask-form").addEventListener("submit", submitted);
    dialog.showModal();
    field.focus();
  });
  return asked;
}

// Without a token there is nothing behind it.
byId("ask").addEventListener("cancel", (event) => event.preventDefault());
