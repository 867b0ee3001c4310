/** The agent configuration that a command reads when --config names none. */
export const defaultConfiguration = '/etc/triseed/agent.yaml';
