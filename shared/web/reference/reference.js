// Shows the API document, `/docs?for=sdk` the part of it that apps call, and sends what is tried to this server.
// Keys that are entered stay in this page's memory.
const forApps = new URLSearchParams(location.search).get("for") === "sdk";

SwaggerUIBundle({
  url: forApps ? "/openapi.json?for=sdk" : "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  filter: true,
  persistAuthorization: false,
  validatorUrl: null,
});
