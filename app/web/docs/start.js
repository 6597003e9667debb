"use strict";

window.addEventListener("load", () => {
  window.SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    filter: true,
    // the token must not outlive the page
    persistAuthorization: false,
    // no document leaves this host to be validated
    validatorUrl: null,
  });
});
