/**
 * A tag of states in which a machine waits for somebody who may take their time: a person, a client, or a service that
 * goes on as long as the daemon does. How long that lasts says nothing about how quick anything is.
 */
export const UNTIMED = "untimed";
