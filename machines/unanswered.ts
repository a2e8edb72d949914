/**
 * Whose fault it is when the time for a login ends while somebody is asked about it: not the client's, which then
 * neither reads nor is blamed for having taken too long.
 */
import type { Refusal } from "./facts.ts";

export const LOGIN_UNCHECKED = "Your login can't be checked at this time. Please try again later.";
export const ENVIRONMENT_UNKNOWN =
  "Your environment can't be configured at this time. Please try again later.";

type Details = Refusal["details"];

/** Whoever checks passwords, keys or authorizations. */
export const authUnanswered = (
  request: "password" | "public key" | "authorization",
  details: Details,
): Refusal => ({
  code: "AUTH_BACKEND_ERROR",
  level: "error",
  userMessage: LOGIN_UNCHECKED,
  message: `The ${request} request was not answered before the time for the login was over`,
  details,
});

export const kdcUnanswered = (details: Details): Refusal => ({
  code: "KRB_BACKEND_TIMEOUT",
  level: "error",
  userMessage: LOGIN_UNCHECKED,
  message: "The KDC did not answer before the time for the login was over",
  details,
});

export const configUnanswered: Refusal = {
  code: "CONFIG_BACKEND_ERROR",
  level: "error",
  userMessage: ENVIRONMENT_UNKNOWN,
  message: "The configuration request was not answered before the time for the login was over",
  details: {},
};
