// The whole loop: what is ill is contained, a person decides, and what is healed is released.
import assert from 'node:assert/strict';
import { scenario } from './stage.mjs';
import { until } from './world.mjs';

// Scenario: one chosen agent of three falls ill; somebody approves through REST.
// Guarantees: that agent is contained, healed by its platform and released; nobody else was ever held.
scenario('the world of these tests is real', async (stage) => {
  const { agents, server } = await stage.fleet(['research-1', 'data-1', 'data-2']);
  agents.infect('data-1');
  const { case_id: id } = await server.caseOf('data-1', 'awaiting_approval');
  await until('the agent is held', () => agents.isHeld('data-1'));
  const answer = await server.post(`/api/cases/${id}/approve`, { reason: 'seen' });
  assert.equal(answer.status, 200, await answer.text());
  await server.caseOf('data-1', 'healed');
  await until('the agent runs again', () => !agents.isHeld('data-1'));
  assert.equal(agents.isIll('data-1'), false);
  const cases = await server.get('/api/cases?limit=10');
  assert.deepEqual(cases.map((one) => one.agent_id), ['data-1']);
});
