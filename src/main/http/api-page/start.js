// The admin API, to read and to try, in the session of the console. A visitor without a session is sent to the console.
const response = await fetch('/console/session');
if (response.status !== 200) location.replace('/console');
else {
  const { csrf } = await response.json();
  globalThis.SwaggerUIBundle({
    url: '/admin/v1/openapi.json',
    dom_id: '#api',
    deepLinking: true,
    // Its default would show the document to a server of Swagger's.
    validatorUrl: null,
    requestInterceptor(request) {
      if (request.url.startsWith('/') || request.url.startsWith(`${location.origin}/`)) {
        request.headers['x-tollgate-csrf'] = csrf;
      }
      return request;
    },
  });
}
