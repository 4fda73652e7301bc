package support

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/client"
	"github.com/microsoft/durabletask-go/task"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Deadline only decides how long a broken server takes to be reported as such.
const Deadline = 30 * time.Second

var quickReconnect = grpc.WithConnectParams(grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
	MinConnectTimeout: time.Second,
})

// Hub is the task hub of one server as a program sees it that uses the SDK.
// The SDK names no hub, so this is the default one.
type Hub struct {
	Client *client.TaskHubGrpcClient
	Calls  *Calls
	Server *Server

	t testing.TB
}

// Tasks are the functions a worker has, by the names they are called by.
type Tasks struct {
	Orchestrators map[string]task.Orchestrator
	Activities    map[string]task.Activity
}

// NewHub starts a server and connects a client to it, for one scenario, beside other scenarios.
func NewHub(t *testing.T) *Hub {
	t.Helper()
	t.Parallel()
	server := StartServer(t)
	hub := &Hub{Calls: &Calls{}, Server: server, t: t}
	hub.Client = client.NewTaskHubGrpcClient(hub.dial(hub.Calls), silence{})
	return hub
}

// Worker is a connected worker of the SDK.
type Worker struct {
	Calls *Calls

	stop func()
}

// Worker connects a worker, which the end of the scenario stops.
func (h *Hub) Worker(tasks Tasks) *Worker {
	h.t.Helper()
	registry := task.NewTaskRegistry()
	var problems []error
	for name, orchestrator := range tasks.Orchestrators {
		problems = append(problems, registry.AddOrchestratorN(name, orchestrator))
	}
	for name, activity := range tasks.Activities {
		problems = append(problems, registry.AddActivityN(name, activity))
	}
	calls := &Calls{}
	connection := h.dial(calls)
	ctx, cancel := context.WithCancel(context.Background())
	worker := &Worker{Calls: calls, stop: func() { cancel(); _ = connection.Close() }}
	h.t.Cleanup(worker.Stop)
	listener := client.NewTaskHubGrpcClient(connection, silence{})
	problems = append(problems, listener.StartWorkItemListener(ctx, registry))
	if err := errors.Join(problems...); err != nil {
		h.t.Fatal(err)
	}
	return worker
}

// Stop ends the worker's stream and everything it has in hand.
func (w *Worker) Stop() { w.stop() }

func (h *Hub) dial(calls *Calls) *grpc.ClientConn {
	h.t.Helper()
	connection, err := grpc.Dial(h.Server.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(calls.intercept), quickReconnect)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// Start starts an orchestration and returns its instance id.
func (h *Hub) Start(name string, options ...api.NewOrchestrationOptions) api.InstanceID {
	h.t.Helper()
	id, err := h.Client.ScheduleNewOrchestration(h.Within(), name, options...)
	h.Must(err)
	return id
}

// Ended waits for any terminal status.
func (h *Hub) Ended(id api.InstanceID) *api.OrchestrationMetadata {
	h.t.Helper()
	state, err := h.Client.WaitForOrchestrationCompletion(h.Within(), id)
	h.Must(err)
	return state
}

// Completed waits for the instance to complete and returns its output as JSON.
func (h *Hub) Completed(id api.InstanceID) string {
	h.t.Helper()
	state := h.Ended(id)
	h.Equal("status of "+string(id)+" with output "+state.SerializedOutput,
		state.RuntimeStatus, api.RUNTIME_STATUS_COMPLETED)
	return state.SerializedOutput
}

// Run starts an orchestration, waits for it to complete and returns its output as JSON.
func (h *Hub) Run(name string, options ...api.NewOrchestrationOptions) string {
	h.t.Helper()
	return h.Completed(h.Start(name, options...))
}

// State is the stored state, nil if there is no such instance.
func (h *Hub) State(id api.InstanceID) *api.OrchestrationMetadata {
	h.t.Helper()
	state, err := h.Client.FetchOrchestrationMetadata(h.Within(), id)
	if errors.Is(err, api.ErrInstanceNotFound) {
		return nil
	}
	h.Must(err)
	return state
}

// Reaches waits until the instance has this status.
func (h *Hub) Reaches(id api.InstanceID, status api.OrchestrationStatus) *api.OrchestrationMetadata {
	h.t.Helper()
	var state *api.OrchestrationMetadata
	h.Eventually(string(id)+" in "+status.String(), func() bool {
		state = h.State(id)
		return state != nil && state.RuntimeStatus == status
	})
	return state
}

// Raise raises an external event.
func (h *Hub) Raise(id api.InstanceID, name string, payload any) {
	h.t.Helper()
	h.Must(h.Client.RaiseEvent(h.Within(), id, name, api.WithEventPayload(payload)))
}

// Suspend suspends an instance and waits until that shows.
func (h *Hub) Suspend(id api.InstanceID) {
	h.t.Helper()
	h.Must(h.Client.SuspendOrchestration(h.Within(), id, "pause"))
	h.Reaches(id, api.RUNTIME_STATUS_SUSPENDED)
}

// Resume resumes an instance.
func (h *Hub) Resume(id api.InstanceID) {
	h.t.Helper()
	h.Must(h.Client.ResumeOrchestration(h.Within(), id, "go on"))
}

// Terminate terminates an instance.
func (h *Hub) Terminate(id api.InstanceID, options ...api.TerminateOptions) {
	h.t.Helper()
	h.Must(h.Client.TerminateOrchestration(h.Within(), id, options...))
}

// Eventually polls until the condition holds and fails the scenario if it does not within Deadline.
func (h *Hub) Eventually(what string, holds func() bool) {
	h.t.Helper()
	deadline := time.NewTimer(Deadline)
	defer deadline.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline.C:
			h.t.Fatalf("%s did not come true within %s", what, Deadline)
		}
	}
}

// Received waits for a signal from inside a task and returns it.
func Received[T any](h *Hub, what string, signals <-chan T) T {
	h.t.Helper()
	select {
	case signal := <-signals:
		return signal
	case <-time.After(Deadline):
		h.t.Fatalf("%s did not happen within %s", what, Deadline)
		panic("unreachable")
	}
}

// Equal fails the scenario unless both values are the same.
func (h *Hub) Equal(what string, actual, expected any) {
	h.t.Helper()
	if actual != expected {
		h.t.Fatalf("%s: got %v, expected %v", what, actual, expected)
	}
}

// JSON fails the scenario unless the text is the expected value as JSON.
func (h *Hub) JSON(what, actual string, expected any) {
	h.t.Helper()
	text, err := json.Marshal(expected)
	h.Must(err)
	h.Equal(what, actual, string(text))
}

// Refused fails the scenario unless the error carries this gRPC status.
func (h *Hub) Refused(what string, err error, code codes.Code) {
	h.t.Helper()
	var refusal interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &refusal) {
		h.t.Fatalf("%s was not refused by the server: %v", what, err)
	}
	h.Equal("refusal of "+what+" ("+err.Error()+")", refusal.GRPCStatus().Code(), code)
}

// Mentions fails the scenario unless the error's text has this in it, as programs look for it there.
func (h *Hub) Mentions(err error, text string) {
	h.t.Helper()
	if !strings.Contains(err.Error(), text) {
		h.t.Fatalf("%q does not mention %q", err, text)
	}
}

// Within is a context with the time a scenario gives an answer.
func (h *Hub) Within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	h.t.Cleanup(cancel)
	return ctx
}

// Must fails the scenario if there is an error.
func (h *Hub) Must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// silence is a logger of the SDK that says nothing: what goes wrong shows in the scenario.
type silence struct{}

func (silence) Debug(...any)          {}
func (silence) Debugf(string, ...any) {}
func (silence) Info(...any)           {}
func (silence) Infof(string, ...any)  {}
func (silence) Warn(...any)           {}
func (silence) Warnf(string, ...any)  {}
func (silence) Error(...any)          {}
func (silence) Errorf(string, ...any) {}
