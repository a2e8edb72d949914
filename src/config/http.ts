/**
 * The options of every HTTP client and server in the configuration: webhooks, the configuration server, health,
 * metrics, OAuth2 (documentation of the reference: HTTP and TLS configuration).
 */
import { Schema } from "effect";
import { defaulted, Flag, GoDuration, Listen, Pem, SecretPem } from "./codecs.ts";
import { tlsFields } from "./tls.ts";

/**
 * - `url`: base URL of the server; empty means that the client is not configured.
 * - `timeout`: of one request.
 * - `cacert`: certificate authorities to trust instead of the system's.
 * - `cert` and `key`: the client's certificate for mutual TLS.
 */
export const httpClientFields = {
  url: defaulted(Schema.String, ""),
  allowRedirects: defaulted(Flag, false),
  timeout: defaulted(GoDuration, "2s"),
  cacert: defaulted(Pem, ""),
  cert: defaulted(Pem, ""),
  key: defaulted(SecretPem, ""),
  ...tlsFields,
};

export const HttpClient = Schema.Struct(httpClientFields);
export type HttpClient = typeof HttpClient.Type;

/**
 * - `cert` and `key`: the server's certificate; without them it speaks plain HTTP.
 * - `clientcacert`: authorities whose client certificates are demanded and verified.
 */
export const httpServerFields = {
  listen: defaulted(Listen, "0.0.0.0:8080"),
  key: defaulted(SecretPem, ""),
  cert: defaulted(Pem, ""),
  clientcacert: defaulted(Pem, ""),
  ...tlsFields,
};

export const HttpServer = Schema.Struct(httpServerFields);
export type HttpServer = typeof HttpServer.Type;
