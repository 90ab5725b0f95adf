// SPDX-License-Identifier: MIT
#include "capnproto-rpc.h"

#include "contest.capnp.h"

#include <capnp/message.h>
#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

namespace {

// A payload of 64 MiB is more than a reader trusts by default.
capnp::ReaderOptions options()
{
	capnp::ReaderOptions o;

	o.traversalLimitInWords = uint64_t(1) << 40;
	return o;
}

class ObjectImpl final : public Object::Server {
	kj::Promise<void> ping(PingContext) override
	{
		return kj::READY_NOW;
	}
};

class ContestImpl final : public Contest::Server {
public:
	const capnp_handler *handler = nullptr;
	kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> waiter;
	Object::Client passed = kj::heap<ObjectImpl>();

	kj::Promise<void> do_(DoContext context) override
	{
		auto request = context.getParams().getRequest();
		size_t n;

		react(request, &n);
		handler->write(reinterpret_cast<char *>(context.getResults(capnp::MessageSize{ n / 8 + 32, 0 }).initAnswer(n).begin()),
			       reinterpret_cast<const char *>(request.begin()), n);
		return end();
	}

	kj::Promise<void> pass(PassContext context) override
	{
		auto request = context.getParams().getRequest();
		size_t n;
		bool makes = react(request, &n) == CAPNP_MAKE;
		auto results = context.getResults();

		handler->write(reinterpret_cast<char *>(results.initAnswer(n).begin()),
			       reinterpret_cast<const char *>(request.begin()), n);
		results.setObject(makes ? Object::Client(kj::heap<ObjectImpl>()) : passed);
		return end();
	}

	kj::Promise<void> post(PostContext context) override
	{
		size_t n;

		react(context.getParams().getRequest(), &n);
		return kj::READY_NOW;
	}

private:
	capnp_reaction react(capnp::Data::Reader request, size_t *n)
	{
		return handler->react(handler->context, reinterpret_cast<const char *>(request.begin()),
				      request.size(), n);
	}

	kj::Promise<void> end()
	{
		if (handler->is_done(handler->context))
			KJ_IF_MAYBE (w, waiter)
				(*w)->fulfill();
		return kj::READY_NOW;
	}
};

} // namespace

struct capnp_server {
	kj::AsyncIoContext io = kj::setupAsyncIo();
	kj::Own<ContestImpl> owned = kj::heap<ContestImpl>();
	ContestImpl &contest = *owned;
	Contest::Client client = kj::mv(owned);
	struct Connection {
		kj::Own<kj::AsyncIoStream> stream;
		capnp::TwoPartyVatNetwork network;
		capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;

		Connection(kj::Own<kj::AsyncIoStream> s, Contest::Client c)
			: stream(kj::mv(s)), network(*stream, capnp::rpc::twoparty::Side::SERVER, options()),
			  rpc(capnp::makeRpcServer(network, kj::mv(c)))
		{
		}
	};
	kj::Vector<kj::Own<Connection>> connections;
};

struct capnp_client {
	kj::AsyncIoContext io = kj::setupAsyncIo();
	kj::Own<kj::AsyncIoStream> stream;
	capnp::TwoPartyVatNetwork network;
	capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;
	Contest::Client contest;
	kj::Maybe<capnp::Request<Contest::DoParams, Contest::DoResults>> plain;
	kj::Maybe<capnp::Request<Contest::PassParams, Contest::PassResults>> passing;
	kj::Maybe<capnp::StreamingRequest<Contest::PostParams>> posting;
	kj::Maybe<capnp::Response<Contest::DoResults>> answer;
	kj::Maybe<capnp::Response<Contest::PassResults>> answer_with;

	explicit capnp_client(int fd)
		: stream(io.lowLevelProvider->wrapSocketFd(fd, kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP)),
		  network(*stream, capnp::rpc::twoparty::Side::CLIENT, options()), rpc(capnp::makeRpcClient(network)),
		  contest(bootstrap().castAs<Contest>())
	{
	}

private:
	capnp::Capability::Client bootstrap()
	{
		capnp::MallocMessageBuilder message;
		auto server = message.initRoot<capnp::rpc::twoparty::VatId>();

		server.setSide(capnp::rpc::twoparty::Side::SERVER);
		return rpc.bootstrap(server);
	}
};

struct capnp_object {
	Object::Client client = kj::heap<ObjectImpl>();
};

capnp_server *capnp_server_new()
{
	return new capnp_server;
}

void capnp_server_accept(capnp_server *s, int fd)
{
	auto stream = s->io.lowLevelProvider->wrapSocketFd(fd, kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);

	s->connections.add(kj::heap<capnp_server::Connection>(kj::mv(stream), s->client));
}

void capnp_server_run(capnp_server *s, const capnp_handler *handler)
{
	auto done = kj::newPromiseAndFulfiller<void>();

	s->contest.handler = handler;
	s->contest.waiter = kj::mv(done.fulfiller);
	done.promise.wait(s->io.waitScope);
	s->io.waitScope.poll(); // the last answer is written
}

void capnp_server_free(capnp_server *s)
{
	delete s;
}

capnp_object *capnp_object_new()
{
	return new capnp_object;
}

void capnp_object_free(capnp_object *o)
{
	delete o;
}

capnp_client *capnp_client_new(int fd)
{
	return new capnp_client(fd);
}

char *capnp_client_buffer(capnp_client *c, size_t size, int is_post, int brings_object)
{
	const capnp::MessageSize hint{ size / 8 + 32, 0 };

	c->plain = nullptr;
	c->passing = nullptr;
	c->posting = nullptr;
	if (is_post)
		return reinterpret_cast<char *>(
			c->posting.emplace(c->contest.postRequest(hint)).initRequest(size).begin());
	if (brings_object)
		return reinterpret_cast<char *>(
			c->passing.emplace(c->contest.passRequest(hint)).initRequest(size).begin());
	return reinterpret_cast<char *>(c->plain.emplace(c->contest.doRequest(hint)).initRequest(size).begin());
}

const char *capnp_client_call(capnp_client *c, size_t *size)
{
	capnp::Data::Reader data;

	c->answer = nullptr;
	KJ_IF_MAYBE (request, c->plain) {
		data = c->answer.emplace(request->send().wait(c->io.waitScope)).getAnswer();
	}
	KJ_IF_MAYBE (request, c->passing) {
		data = c->answer_with.emplace(request->send().wait(c->io.waitScope)).getAnswer();
	}
	*size = data.size();
	return reinterpret_cast<const char *>(data.begin());
}

void capnp_client_post(capnp_client *c)
{
	KJ_IF_MAYBE (request, c->posting)
		request->send().wait(c->io.waitScope);
}

void capnp_client_drop(capnp_client *c)
{
	c->answer_with = nullptr;
}

void capnp_client_free(capnp_client *c)
{
	delete c;
}
