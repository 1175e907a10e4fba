// Texts that more than one screen uses.

export const RATINGS = ["G", "PG", "PG13", "R", "NC17"].map((rating) => [rating, rating]);

export const T = {
  app: "Feed Studio",
  cancel: "Cancel",
  close: "Close",
  save: "Save",
  saved: "Saved. Every feed follows within 15 seconds.",
  undo: "Undo",
  undone: "Taken back. Every feed follows within 15 seconds.",
  retry: "Try again",
  loading: "Loading …",
  offline: "You are offline. Nothing is lost: what you wrote stays here.",
  online: "You are online again.",
  noAnswer: "The app does not answer. Check the connection and try again.",
  keepEditing: "Keep editing",
  throwAway: "Throw away",
  leaveTitle: "Throw your changes away?",
  leave: "What you changed here is not saved.",
  conflict: "Somebody else saved a change meanwhile. Nothing of theirs was overwritten, and yours is still here.",
  reload: "Reload and keep my changes",
  reloaded: "This is the newest version, with your changes. Save when you are ready.",
  lookAgain: "Not saved yet:",
  changedToo: "Somebody else changed this too. Theirs: ",
  takeTheirs: "Take theirs",
  nothingChanged: "Nothing was changed.",
  incomplete: "is not complete: fill in all of it, or empty it.",
  stronger: "Show stronger ratings?",
  showThem: "Yes, show them",
  expired: "This key no longer works: it was revoked, or it ended. Sign in again; what you are editing stays as it is.",
};
